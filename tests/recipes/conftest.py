"""Recipes composed with verl's own configuration, and put through its checks."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

from care_verl.tools.recipes.composition import leaves
from tests.validation import validate

FILES = ["data.train_files=train.parquet", "data.val_files=test.parquet"]
RL, SFT = "ppo_trainer", "sft_trainer_engine"

Composed = Callable[..., DictConfig]
Leaves = dict[str, Any]


@pytest.fixture(scope="session")
def composed() -> Composed:
    """Recipe names (none for verl's own configuration) and overrides -> configuration.

    Composed once, so not to be changed.
    """

    import verl  # noqa: F401  # loads the plugin, which puts the recipes on Hydra's search path

    @functools.cache
    def build(*names: str, base: str = RL, overrides: tuple[str, ...] = ()) -> DictConfig:
        recipes = [f"+recipe=[{','.join(names)}]"] if names else []
        with initialize_config_module("verl.trainer.config", version_base=None):
            return compose(base, overrides=[*recipes, *overrides])

    return build


def leaves_of(config: DictConfig) -> Leaves:
    """Values by dotted key, resolved."""
    container: Any = OmegaConf.to_container(config, resolve=True)
    return dict(leaves(container))


def changed(config: DictConfig, beside: DictConfig) -> Leaves:
    """What `config` has otherwise than `beside`."""
    before = leaves_of(beside)
    return {
        key: value
        for key, value in leaves_of(config).items()
        if key not in before or before[key] != value
    }


def validated(config: DictConfig) -> DictConfig:
    """A copy after what `main_ppo.main` does: our completion, then verl's checks."""
    return validate(copy.deepcopy(config))
