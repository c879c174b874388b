"""Commands, recipes and make targets that the pages name exist. They are not run here."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from care_verl.tools.cli import app

from .pages import ROOT, Page, all_pages
from .shell import arguments, commands

COMMAND: Any = get_command(app)
PLACEHOLDER = re.compile(r"[A-Z_]+|\.{3}:?|…")

OPTION_TABLES = {
    "docs/atlas.md": ["atlas"],
    "docs/certificate.md": ["certificate"],
    "docs/court.md": ["court"],
    "docs/data.md": ["data prepare chartqa", "data prepare geometry3k", "data prepare virl39k"],
    "docs/doctor.md": ["doctor"],
    "docs/report.md": ["report"],
}
"""Pages with a table of options, and the commands whose options these are."""


def parametrized(page: Page) -> str:
    return page.name


def complaint(words: list[str]) -> str | None:
    """What is wrong with the subcommands and options behind `care-verl`."""
    command = COMMAND
    for place, word in enumerate(words):
        if isinstance(command, TyperGroup) and not word.startswith("-"):
            if PLACEHOLDER.fullmatch(word):
                return None
            if word not in command.commands:
                return f"{words[: place + 1]}: expected one of {list(command.commands)}"
            command = command.commands[word]
        elif word.startswith("-") and word.partition("=")[0] not in options_of(command):
            return f"{words[: place + 1]}: expected one of {options_of(command)}"
    return None


def options_of(command: Any) -> list[str]:
    given = [option for item in command.params for option in [*item.opts, *item.secondary_opts]]
    return [option for option in given if option.startswith("-")] + ["--help"]


@pytest.mark.parametrize("page", all_pages(), ids=parametrized)
def test_commands_and_options_exist(page: Page) -> None:
    found = [found for words in commands(page) if (found := arguments(words, "care-verl"))]
    assert not [wrong for words in found if (wrong := complaint(words))]


def test_faults_are_found() -> None:
    assert complaint(["data", "prepare", "chartqa", "--out", "x"]) is None
    assert "expected one of ['chartqa'" in (complaint(["data", "prepare", "chart"]) or "")
    assert "expected one of ['--out'" in (complaint(["report", "run", "--outt=x"]) or "")


@pytest.mark.parametrize("name", OPTION_TABLES)
def test_tables_of_options_are_complete(name: str) -> None:
    """Each option of the command has its row, and each row its option; `--out` may do without."""
    listed = set()
    for row in re.findall(r"^\| `-.*?\|", Page(ROOT / name).text, re.MULTILINE):
        listed |= set(re.findall(r"--[\w-]+", row))
    known = set()
    for path in OPTION_TABLES[name]:
        command = COMMAND
        for word in path.split():
            command = command.commands[word]
        known |= set(options_of(command))
    assert known - listed <= {"--out", "--help"}
    assert listed <= known


@pytest.mark.parametrize("page", all_pages(), ids=parametrized)
def test_recipes_exist(page: Page) -> None:
    named = set()
    for value in re.findall(r"\+recipe=(\[[^\]]*\]|[\w/.-]+)", page.text):
        named |= set(value.strip("[]").split(","))
    named = {name for name in named if not PLACEHOLDER.fullmatch(name)}
    assert not {n for n in named if not (ROOT / "recipes" / "recipe" / f"{n}.yaml").exists()}


@pytest.mark.parametrize("page", all_pages(), ids=parametrized)
def test_make_targets_exist(page: Page) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for words in commands(page):
        if words[0] == "make" and len(words) > 1:
            named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert set(named) <= targets, words
