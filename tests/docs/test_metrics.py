"""The metrics that pages list are those that the sources log, and no other page names another.

Names are read off the sources' texts: that a run logs them, tests of the trainer show.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pages import DOCS, ROOT, Page, all_pages

LISTS = {"care": Page(DOCS / "metrics.md"), "grpo_care": Page(DOCS / "grpo-care.md")}
"""Sections of metrics, and the pages whose first table of metrics lists them."""
KINDS = [f"{row}{on}" for row in ("original", "reflected") for on in ("", "_image", "_text")]
"""Of rows, in the names of `care/parity`."""
INTERNAL = {"care/clip/negative_clipped", "care/clip/negative_tokens", "care/samples"}
"""Counts that `clip_rate` turns into a rate, and a table."""

EXAMPLES = {"n": "2", "k": "0", "reason": "no_room"}
"""Values for the variable parts of a name in the sources, by the variable."""
VARIABLE = {"_kn": r"_k\d", "_k": r"_\d", "REASON": r"\w+"}
"""Variable parts of a name in the page, as patterns."""


def names_in(source: Path, prefix: str) -> Iterator[str]:
    """All strings, f-strings with example values, behind `prefix`."""
    tree = ast.parse(source.read_text("utf-8"))
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in joined for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield prefix + node.value
        elif isinstance(node, ast.JoinedStr):
            yield prefix + "".join(_shown(part) for part in node.values)


def _shown(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    return EXAMPLES.get(ast.unparse(part.value), "?")


def emitted(section: str) -> set[str]:
    package = ROOT / "care_verl"
    found = set(names_in(package / "algorithm" / "diagnostics.py", "care/"))
    found |= {f"care/parity/{name}" for name in ("tokens", "row_sum_max")}
    found |= {f"care/parity/{kind}_{what}" for what in ("max", "mean") for kind in KINDS}
    for source in (package / "training").rglob("*.py"):
        found |= set(names_in(source, ""))
    # What all methods have is put under the name of each.
    found |= {f"{section}{name[1:]}" for name in found if name.startswith("?/")}
    return {name for name in found if re.fullmatch(rf"{section}/\w+/\w+(/\w+)?", name)} - INTERNAL


def documented(section: str) -> list[str]:
    """Patterns of the names in the table: `care/groups/mixed`, `all_wrong` share a prefix."""
    table = LISTS[section].text.split("| metric | what it is |")[1].split("\n\n")[0]
    patterns = []
    for row in table.splitlines()[2:]:
        names = re.findall(r"`([^`]+)`", row.split("|")[1])
        parent = names[0].rpartition("/")[0]
        patterns += [as_pattern(name if "/" in name else f"{parent}/{name}") for name in names]
    return patterns


def as_pattern(name: str) -> str:
    for variable, pattern in VARIABLE.items():
        if name.endswith(variable):
            return re.escape(name.removesuffix(variable)) + pattern
    return re.escape(name)


@pytest.mark.parametrize("section", LISTS)
def test_every_metric_is_documented(section: str) -> None:
    names, patterns = emitted(section), documented(section)
    assert len(names) > 10
    assert not {n for n in names if not any(re.fullmatch(p, n) for p in patterns)}


@pytest.mark.parametrize("section", LISTS)
def test_every_documented_metric_is_emitted(section: str) -> None:
    names = emitted(section)
    ours = [pattern for pattern in documented(section) if pattern.startswith(f"{section}/")]
    assert not [p for p in ours if not any(re.fullmatch(p, name) for name in names)]


@pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.name)
def test_pages_name_metrics_that_exist(page: Page) -> None:
    """Or sections with metrics, such as `care/groups/*`."""
    patterns = [pattern for section in LISTS for pattern in documented(section)]
    unknown = set()
    for name in set(re.findall(r"`((?:grpo_)?care/[\w/]+)[*]?`", page.text)) - INTERNAL:
        section = re.escape(name.rstrip("/") + "/")
        known = as_pattern(name) in patterns or any(re.fullmatch(p, name) for p in patterns)
        if not known and not any(pattern.startswith(section) for pattern in patterns):
            unknown.add(name)
    assert not unknown
