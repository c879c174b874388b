"""What recipes there are: read from the files that ship, without Hydra or verl."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from care_verl.common.errors import CareVerlError

KINDS = {
    "": "experiments",
    "method": "methods",
    "ablation": "ablations of CARE",
    "model": "models",
    "data": "data",
    "budget": "budgets",
    "hardware": "hardware",
}
"""Folder of a recipe -> what it is about, in the order they are shown in."""

COLD_START = "cold starts"
"""Experiments for verl's SFT trainer, whose names begin with `SFT_PREFIX`."""

SFT_PREFIX = "sft_"


class RecipeError(CareVerlError, ValueError):
    """A recipe that does not exist, or does not compose."""


@dataclass(frozen=True)
class Recipe:
    """One file. `name` is what stands behind `+recipe=`."""

    name: str
    kind: str
    summary: str


def catalogue() -> list[Recipe]:
    """All recipes, grouped by kind, names in order. What begins with `_` is part of others."""
    folder = recipe_folder()
    paths = [path for path in folder.rglob("*.yaml") if not path.name.startswith("_")]
    recipes = [_recipe(path, folder) for path in sorted(paths)]
    order = kinds()
    return sorted(recipes, key=lambda recipe: order.index(recipe.kind))


def kinds() -> list[str]:
    """The groups of `catalogue`, in its order."""
    experiments, *others = KINDS.values()
    return [experiments, COLD_START, *others]


def recipe_folder() -> Path:
    """Where the shipped recipes lie."""
    with resources.as_file(resources.files("care_verl.recipes")) as package:
        return package / "recipe"


def is_sft(names: Iterable[str]) -> bool:
    """Whether a composition is for verl's SFT trainer: all of its recipes are.

    Raises RecipeError for a mixture, which no trainer could read.
    """
    found = {name.startswith(SFT_PREFIX) for name in names}
    if len(found) != 1:
        raise RecipeError(
            f"recipes {', '.join(names)} are for different trainers: those named {SFT_PREFIX}... "
            "are for verl's SFT trainer, all others for main_ppo; compose one sort"
        )
    return found.pop()


def check_known(names: Iterable[str]) -> None:
    """Raise RecipeError for a name that no file has."""
    known = [recipe.name for recipe in catalogue()]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise RecipeError(
                f"there is no recipe {name!r}{hint}; `care-verl recipes list` shows all"
            )


def _recipe(path: Path, folder: Path) -> Recipe:
    name = path.relative_to(folder).with_suffix("").as_posix()
    concern = name.rpartition("/")[0]
    kind = COLD_START if name.startswith(SFT_PREFIX) else KINDS[concern]
    return Recipe(name, kind, _summary(path))


def _summary(path: Path) -> str:
    """The first line of comment that is not Hydra's."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not line.startswith("# @"):
            return line[2:].strip()
    raise RecipeError(f"{path} does not begin with a comment that says what it is")
