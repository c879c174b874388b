"""The tables of docs/algorithm.md: every equation, with functions, settings and tests that exist.

That a test pins its equation is for a reader to judge.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from care_verl.algorithm import CareConfig

from .pages import DOCS, ROOT
from .test_settings import leaves

PAGE = (DOCS / "algorithm.md").read_text("utf-8")


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its first line."""
    lines = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("| ")][1:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


ROWS = table("Equation, function, setting")
PINNED = table("What pins each of them")


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def definitions(source: Path) -> set[str]:
    nodes = ast.parse(source.read_text("utf-8")).body
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def identified(row: list[str]) -> str:
    return f"{row[0]} {row[1][:30]}"


def test_every_equation_is_there() -> None:
    numbers = {int(n) for row in ROWS for n in re.findall(r"Eq\. (\d+)", row[0])}
    assert numbers == set(range(1, 15))
    assert [row[:2] for row in PINNED] == [row[:2] for row in ROWS]


CALLED = {
    "accumulate",
    "care_metrics",
    "failure_share",
    "finish",
    "is_positive",
    "parity_metrics",
    "ratio_deviation",
    "rationale_embedding",
    "rationale_pieces",
    "worst_token",
}


def test_no_function_is_left_out() -> None:
    """Where a method begins, and what adapters call; GRPO-CARE's are on its own page."""
    from care_verl import algorithm

    listed = {name for row in ROWS for name in named(row[2])}
    begin = {name for name in algorithm.__all__ if name.islower()}
    of_grpo_care = set(re.findall(r"\| `(\w+)` \|", (DOCS / "grpo-care.md").read_text("utf-8")))
    assert begin - of_grpo_care <= listed
    assert {"answer_likelihood", "grpo_care_advantages"} <= begin & of_grpo_care
    assert listed >= CALLED


def test_no_setting_is_left_out() -> None:
    """Sections that a run is looked at with stand in the page's last table alone."""
    looking = ("capture", "records", "seeded", "rgr.timeout_s")
    keys = {key.removeprefix("algorithm.care.") for key in leaves(CareConfig)}
    keys = {key for key in keys if not key.startswith(looking)}
    assert keys <= {name for row in ROWS for name in named(row[4])}


@pytest.mark.parametrize("row", ROWS, ids=identified)
def test_functions_exist(row: list[str]) -> None:
    modules = [name if "/" in name else f"care_verl/algorithm/{name}" for name in named(row[3])]
    assert set(named(row[2])) <= set().union(*(definitions(ROOT / name) for name in modules))


@pytest.mark.parametrize("row", ROWS, ids=identified)
def test_settings_exist(row: list[str]) -> None:
    keys = {key.removeprefix("algorithm.care.") for key in leaves(CareConfig)}
    assert set(named(row[4])) <= keys


@pytest.mark.parametrize("row", PINNED, ids=identified)
def test_tests_exist(row: list[str]) -> None:
    names = [name for name in named(row[2]) if "::" in name]
    assert names
    for name in names:
        path, _, test = name.partition("::")
        source = ROOT / (path if "/" in path else f"tests/algorithm/{path}")
        assert test in definitions(source), name
