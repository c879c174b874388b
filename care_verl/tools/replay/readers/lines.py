"""What the readers of dumps share: columns, texts, advantages, generations logged twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.common.jsonl import Malformed, json_objects
from care_verl.tools.replay.rollouts import RawRow

NO_READING = (pa.ArrowException, OSError)
"""What pyarrow raises for a file that is cut short or is no Parquet."""


def first_object(file: Path) -> dict[str, Any]:
    """The first line of a file that is a JSON object; empty where there is none."""
    for line in json_objects(file):
        if not isinstance(line, Malformed):
            return line[1]
    return {}


def column_names(file: Path) -> list[str]:
    """The columns of a Parquet file; none where it cannot be read."""
    try:
        return list(pq.read_schema(file).names)
    except NO_READING:
        return []


def text_problem(record: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """What is wrong with columns that must be texts; None where nothing is."""
    for name in names:
        if name not in record:
            return f"no {name!r} among {sorted(map(str, record))}"
        if not isinstance(record[name], str):
            return f"{name} is a {type(record[name]).__name__}, expected a text"
    return None


def between(names: Sequence[str], begin: str, end: str) -> Sequence[str]:
    """The names behind `begin` and in front of `end`, or all behind it where `end` is missing."""
    stop = names.index(end) if end in names else len(names)
    return names[names.index(begin) + 1 : stop]


def advantage_of(value: Any) -> float | None:
    """A recorded advantage, which only serves as a check; None for anything but a number."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def without_repeats(
    batches: list[list[RawRow]], tables: list[str]
) -> tuple[list[RawRow], list[Malformed]]:
    """The rows of all batches but those that a later log writes again.

    A trainer that logs more often than it generates writes its last generation once more.
    `tables` are where the batches stand.
    """
    rows: list[RawRow] = []
    repeated: list[Malformed] = []
    before: list[tuple[Any, ...]] = []
    for batch, place in zip(batches, tables, strict=True):
        content = [(row.values.get("prompt"), row.response, row.advantage) for row in batch]
        if content and content == before:
            reason = f"the generation of {place} repeats the one logged before it"
            repeated += [Malformed(row.where, reason) for row in batch]
        else:
            rows += batch
        before = content
    return rows, repeated
