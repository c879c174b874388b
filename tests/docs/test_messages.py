"""The messages of docs/troubleshooting.md are those of the sources, as far as they are of ours.

Compared are runs of three words and more between what a message fills in; what it says about the
cause is not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from .pages import DOCS, ROOT, Page

OTHERS = (
    "Could not",
    "Unknown advantage estimator",
    "operator torchvision",
    "training/rollout_probs_diff_max",
)
"""Beginnings of messages of Hydra, verl and torch, and of a metric of verl's."""

FILLED_IN = re.compile(r"\.\.\.|'[^']+'|\[|\]|\b(?:N|M|NAME)\b|\S+\.X|does NOT hold|= \w+|\S*\d\S*")
"""What stands in a message for something else; `does NOT hold` is one of two endings."""


def messages() -> list[str]:
    """The code spans of the table's first column."""
    rows = re.findall(r"^\| (.+?) (?<!\\)\| ", Page(DOCS / "troubleshooting.md").text, re.MULTILINE)
    spans = [span for row in rows for span in re.findall(r"`([^`]+)`", row)]
    return [span for span in spans if not span.startswith(OTHERS)]


@cache
def literals() -> str:
    """All strings in the sources; parts of f-strings with a gap between them."""
    return "\n".join(text for path in (ROOT / "care_verl").rglob("*.py") for text in strings(path))


def strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@cache
def classes() -> set[str]:
    sources = [path.read_text("utf-8") for path in (ROOT / "care_verl").rglob("*.py")]
    return {name for source in sources for name in re.findall(r"^class (\w+)", source, re.M)}


@pytest.mark.parametrize("message", messages())
def test_a_message_is_one_of_the_sources(message: str) -> None:
    error, found, text = message.partition(": ")
    if found and re.fullmatch(r"\w+(Error|Failed)", error):
        assert error in classes()
    else:
        text = message
    pieces = [piece.strip(" ,;:()=.") for piece in FILLED_IN.split(text)]
    assert not [p for p in pieces if len(p.split()) > 2 and p not in literals()]
