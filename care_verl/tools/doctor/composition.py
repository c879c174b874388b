"""The configuration of a run, composed as `main_ppo` composes it, and why it cannot be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from care_verl.common.errors import CareVerlError
from care_verl.methods import METHODS
from care_verl.tools.doctor.finding import Check, Finding

if TYPE_CHECKING:
    from care_verl.algorithm.settings import Settings

CHECK = Check("configuration")
_NOT_OVERRIDDEN = re.compile(r"Could not override '(?P<key>[^']+)'")
_NOT_IN_GROUP = re.compile(r"Could not find '(?P<name>[^']+)'")
_MOST_PLACES = 3


class CompositionError(CareVerlError, ValueError):
    """These overrides make no configuration; `finding` says why in a sentence."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.found}; {finding.change}")
        self.finding = finding


def compose(overrides: Sequence[str]) -> DictConfig:
    """verl's `ppo_trainer` with these overrides, recipes on the search path.

    Raises CompositionError.
    """
    # The plugin puts the recipes on the search path when this module is imported.
    import hydra.main  # noqa: F401
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    with initialize_config_module(config_module="verl.trainer.config", version_base=None):
        try:
            config = hydra_compose("ppo_trainer", overrides=list(overrides))
            # Interpolations that lead nowhere are found when they are followed.
            OmegaConf.to_container(config, resolve=True)
            return config
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise CompositionError(_explained(error, hydra_compose("ppo_trainer"))) from error


def keys_of(config: DictConfig) -> list[str]:
    """Every key of a configuration, dotted, sections included."""
    return list(_walk(OmegaConf.to_container(config), ""))


def our_keys() -> list[str]:
    """Every setting that care-verl adds to verl's configuration, dotted."""
    from care_verl.training.wiring import loaded

    return [key for m in METHODS.values() for key in _keys_of(loaded(m).settings)]


def _keys_of(kind: type[Settings]) -> Iterator[str]:
    for item in fields(kind):
        yield f"{kind.KEY}.{item.name}"
        if "section" in item.metadata:
            yield from _keys_of(item.metadata["section"])


def closest(key: str, known: Sequence[str]) -> list[str]:
    """What `key` may be a misspelling of; else where its last name stands."""
    other_case = [name for name in known if name.lower() == key.lower()]
    near = other_case or difflib.get_close_matches(key, known, n=1, cutoff=0.85)
    same_name = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    return near or same_name[:_MOST_PLACES]


def _walk(node: object, prefix: str) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            key = f"{prefix}.{name}" if prefix else str(name)
            yield key
            yield from _walk(value, key)


def _explained(error: Exception, base: DictConfig) -> Finding:
    message = str(error)
    unknown = _NOT_OVERRIDDEN.search(message)
    if unknown is not None:
        return unknown_key(unknown["key"], base)
    missing = _NOT_IN_GROUP.search(message)
    if missing is not None:
        return _unknown_recipe(missing["name"])
    first = " ".join(message.split())
    return CHECK.error(first, "correct the override that the message names")


def unknown_key(key: str, base: DictConfig) -> Finding:
    """The finding about a key that verl's configuration does not have."""
    ours = our_keys()
    near = closest(key, [*ours, *keys_of(base)])
    if key in ours:
        change = f"it is a setting of care-verl: write ++{key}=..., which also adds it"
    elif near:
        change = f"did you mean {' or '.join(near)}?"
    else:
        change = f"remove it; if something outside verl reads it, write +{key}=..."
    return CHECK.error(f"verl's configuration has no key {key}", change)


def _unknown_recipe(name: str) -> Finding:
    from hydra.core.global_hydra import GlobalHydra

    group, _, wanted = name.rpartition("/")
    loader = GlobalHydra.instance().config_loader()
    known = loader.get_group_options(group) if group else []
    near = difflib.get_close_matches(wanted, known, n=1)
    change = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
    return CHECK.error(f"there is no {name!r} on Hydra's search path", change)
