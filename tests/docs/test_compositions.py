"""The overrides of every documented command line compose with the recipes and verl's configuration.

Files and models that they name need not exist, and what a shell would put in is left open. That a
composition runs, tests of the recipes show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir

from .pages import ROOT, all_pages
from .shell import commands
from .test_settings import verls_folder

OVERRIDE = re.compile(r"\+{0,2}[a-z_][\w.]*=.*")
RUNS = ("+recipe=", "verl.trainer.main_ppo")
SCHEMATIC = re.compile(r"=(NAME|\[NAME.*)$|\.\.\.")


def documented() -> Iterator[tuple[str, ...]]:
    """The overrides of command lines that start a run, or name a recipe."""
    for page in all_pages():
        for words in commands(page):
            if any(word.startswith(RUNS) for word in words):
                found = [word for word in words if OVERRIDE.fullmatch(word)]
                yield tuple(word for word in found if not SCHEMATIC.search(word))


LINES = sorted({line for line in documented() if line})


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_documented_line_composes(line: tuple[str, ...]) -> None:
    sft = any(word.startswith(("+recipe=sft", "+recipe=[sft")) for word in line)
    overrides = [re.sub(r"=.*\$.*", "=x", word) for word in line]
    overrides.append(f"hydra.searchpath=[file://{ROOT / 'recipes'}]")
    with initialize_config_dir(str(verls_folder()), version_base=None):
        compose("sft_trainer_engine" if sft else "ppo_trainer", overrides=overrides)


def test_lines_are_found() -> None:
    assert sum(any(word.startswith("+recipe=") for word in line) for line in LINES) > 5
