"""What a recipe composes to, beside what verl sets by itself.

Hydra reads verl's configuration where verl is installed; verl itself is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from care_verl.tools.recipes.catalogue import RecipeError, check_known, is_sft

RL_CONFIG, SFT_CONFIG = "ppo_trainer", "sft_trainer_engine"
"""verl's own configurations, which the recipes are laid over."""

SEARCH_PATH = "hydra.searchpath=[pkg://care_verl.recipes]"
_NOTHING = object()


@dataclass(frozen=True)
class Composition:
    """`values` is the whole configuration, `plain` verl's own, both resolved and nested."""

    config_name: str
    plain: dict[str, Any]
    values: dict[str, Any]

    @property
    def difference(self) -> dict[str, Any]:
        """What `values` sets otherwise than `plain`, nested."""
        return _difference(self.values, self.plain)


def compose_recipes(names: Sequence[str], overrides: Sequence[str] = ()) -> Composition:
    """The configuration of `+recipe=[names]` with Hydra overrides; the last name wins.

    Raises RecipeError: an unknown name, recipes of different trainers, verl not installed, or
    what Hydra refuses.
    """
    check_known(names)
    config_name = SFT_CONFIG if is_sft(names) else RL_CONFIG
    recipes = f"+recipe=[{','.join(names)}]"
    return Composition(
        config_name,
        plain=_composed(config_name, []),
        values=_composed(config_name, [SEARCH_PATH, recipes, *overrides]),
    )


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted key; an empty mapping is a value."""
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


def _composed(config_name: str, overrides: Sequence[str]) -> dict[str, Any]:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(verl_config_folder()), version_base=None):
            config = compose(config_name, overrides=list(overrides))
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except (HydraException, OmegaConfBaseException) as error:
        raise RecipeError(str(error)) from error
    return values


def verl_config_folder() -> Path:
    """verl's configuration files. Raises RecipeError where verl is not installed."""
    verl = find_spec("verl")
    if verl is None or not verl.submodule_search_locations:
        raise RecipeError(
            "recipes are laid over verl's own configuration, and verl is not installed here; "
            "install care-verl with its extra `gpu` or `cpu`"
        )
    return Path(verl.submodule_search_locations[0]) / "trainer" / "config"


def _difference(values: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        before = plain.get(name, _NOTHING)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := _difference(value, before):
                found[name] = inner
        elif value != before:
            found[name] = value
    return found
