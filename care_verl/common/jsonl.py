"""JSON lines with their places: a line that is no object is told, never guessed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Malformed:
    """A record that cannot be used, and why. where: file and line or row."""

    where: str
    reason: str


def json_objects(file: Path) -> Iterator[tuple[str, dict[str, Any]] | Malformed]:
    """The objects of a file of JSON lines, each with `file:line`, lines counted from 1.

    Empty lines are passed over.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _parsed(f"{file}:{number}", line)


def _parsed(where: str, line: bytes) -> tuple[str, dict[str, Any]] | Malformed:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Malformed(where, f"no JSON: {error}")
    if not isinstance(record, dict):
        return Malformed(where, f"a JSON {type(record).__name__}, expected an object")
    return where, record
