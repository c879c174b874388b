"""A run's log as lines with their speaker, read as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Ray names the process that printed a line, vLLM and torch theirs; they nest.
_SPEAKER = re.compile(
    r"^(?:\((?:raylet|gcs_server|autoscaler|[^()]*\b(?:pid|rank)=\d+[^()]*)\) ?"
    r"|\[rank\d+\]:(?:\[[^\]]*\])? ?)"
)
_LEVEL = re.compile(r"^(?:ERROR|WARNING|CRITICAL) \d\d-\d\d [\d:]+ \[[^\]]+\] ?")
_LONGEST = 20_000
"""Characters of a line that are looked at: some logs hold a whole batch in one."""


@dataclass(frozen=True)
class Line:
    """One line. `speaker`: the prefixes in front of it, by which interleaved tracebacks are told
    apart; `text`: what is left.
    """

    number: int
    speaker: str
    text: str


def lines_of(path: Path) -> Iterator[Line]:
    """Every line of a file, numbered from 1. Bytes that are no UTF-8 are replaced."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, raw in enumerate(file, start=1):
            yield split(number, raw[:_LONGEST])


def split(number: int, raw: str) -> Line:
    """One line without colours, its prefixes and its end."""
    text = raw.rstrip("\r\n")
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    start = 0
    while text.startswith(("(", "["), start) and (prefix := _SPEAKER.match(text[start:])):
        start += prefix.end()
    speaker, text = text[:start], text[start:]
    level = _LEVEL.match(text)
    return Line(number, speaker, text[level.end() :] if level else text)
