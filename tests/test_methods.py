"""A method is known by its folder and its entry in the table, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from care_verl.methods import METHODS, Column, by_name, method_of_row
from care_verl.methods.care import CARE
from care_verl.methods.grpo_care import GRPO_CARE

ROOT = Path(__file__).parents[1] / "care_verl"
OWN = (
    "methods/",
    "training/grpo_care/",
    "algorithm/consistency",
    "algorithm/__init__",
    # Compares estimators, of which this is one.
    "tools/replay/",
)
NAMED = re.compile(r"grpo_care|GrpoCare|is_care\b|== \"care\"")


def test_no_other_code_names_the_second_method() -> None:
    """Words in docstrings and messages may: they say what is seen, not what is done."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if NAMED.search(without_texts(path.read_text("utf-8")))
    }
    assert {name for name in found if not name.startswith(OWN)} == set()


def without_texts(source: str) -> str:
    return re.sub(r'""".*?"""', "", source, flags=re.DOTALL)


def test_names_and_columns_are_unique() -> None:
    twice = replace(GRPO_CARE, name="care", columns=(Column("x", "bool", "x"),), marker="x")
    with pytest.raises(ValueError, match="two methods are called 'care'"):
        by_name((CARE, twice))
    other = replace(CARE, name="other")
    with pytest.raises(ValueError, match="method 'other' has columns that another method has: "):
        by_name((CARE, other))


def test_a_marker_is_a_column() -> None:
    with pytest.raises(ValueError, match="marker = 'gone'; expected one of its columns: accurate"):
        replace(GRPO_CARE, marker="gone")


def rows() -> Iterator[tuple[dict[str, object], str | None]]:
    yield {"role": "anchor", "accurate": None}, "care"
    yield {"role": None, "accurate": False}, "grpo_care"
    yield {"role": None, "accurate": None}, None
    yield {}, None


@pytest.mark.parametrize(("row", "name"), rows())
def test_a_row_tells_its_method(row: dict[str, object], name: str | None) -> None:
    assert method_of_row(row) is (None if name is None else METHODS[name])
