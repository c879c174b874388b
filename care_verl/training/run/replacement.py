"""A value that a run asked for, and does not get because the method decides it, is told.

Without this, `actor.kl_loss_coef=0.5` on a command line becomes 0.02 and nobody hears of it.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from care_verl.common.logs import logger_of

logger = logger_of(__name__)

NOT_IN_FORCE = "is not in force"
"""In every warning of this module."""

_VERLS = "trainer/config/_generated_ppo_trainer.yaml"


def put(config: DictConfig, key: str, value: Any, decided_by: str) -> None:
    """Set a dotted key; warn where it had a value that is neither `value` nor verl's own default.

    `decided_by` says what the value comes from and how to change it. An asked value that is verl's
    default cannot be told from one that nobody asked for.
    """
    found = OmegaConf.select(config, key)
    if found not in (value, verl_default(key)):
        logger.warning(
            "%s = %r %s: the run has %r; %s", key, found, NOT_IN_FORCE, value, decided_by
        )
    OmegaConf.update(config, key, value, merge=False)


def verl_default(key: str) -> Any:
    """What verl's own configuration has at a dotted key, None where it has nothing."""
    return OmegaConf.select(_verls_configuration(), key)


@functools.cache
def _verls_configuration() -> DictConfig:
    """verl's `ppo_trainer` without overrides, as verl ships it: composed into one file.

    Hydra cannot compose a second configuration inside of `hydra.main`.
    """
    verl = find_spec("verl")
    assert verl is not None
    assert verl.origin is not None
    config = OmegaConf.load(Path(verl.origin).parent / _VERLS)
    assert isinstance(config, DictConfig)
    return config
