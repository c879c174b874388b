"""Answers from files, one at a time: verl's dumps, prepared data sets, and other tables.

verl 0.9.1 writes a dump as JSON lines, one file a step: `input`, `output`, `gts`, `score`, `step`
and `uid`; a validation dump also has what the reward reports, such as `acc`, `pred` and `rule`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from care_verl.common.errors import CareVerlError
from care_verl.common.jsonl import Malformed, json_objects
from care_verl.tools.court.case import Case, FirstVerdict

_BATCH_ROWS = 256
_OPTIONAL = {"data_source", "extra_info", "pred", "rule"}


class InputError(CareVerlError, ValueError):
    """A file that cannot be read as asked; the message says what to change."""


@dataclass(frozen=True)
class Columns:
    """Where things stand in a record; a dot leads into a nested one.

    response: None for a data set of golds without responses. data_source: a value for all records,
    which goes before the record's own. recorded: whether the record's `acc` is wanted.
    """

    response: str | None
    gold: str
    data_source: str | None = None
    recorded: bool = False

    def __post_init__(self) -> None:
        if self.recorded and self.response is None:
            raise InputError(
                "a recorded verdict belongs to a response: name its column with --response-key"
            )


def cases(path: Path, keys: Mapping[str, str], recorded: bool) -> Iterator[Case | Malformed]:
    """The cases of a file, or of a folder's files by step.

    A record that lacks something is reported, never guessed. keys: `response`, `gold` and
    `data_source` of Columns, where they are not the usual ones: those of a prepared data set for
    Parquet, those of verl's dumps for JSON lines.

    Raises InputError for a folder without files, and for a Parquet file without the columns.
    """
    for file in _files(path):
        columns = Columns(**{**_usual(file), **keys}, recorded=recorded)
        records = _parquet(file, columns) if file.suffix == ".parquet" else json_objects(file)
        for item in records:
            if isinstance(item, Malformed):
                yield item
                continue
            where, record = item
            try:
                yield _case(where, record, columns)
            except _UnusableError as reason:
                yield Malformed(where, str(reason))


def _usual(file: Path) -> dict[str, Any]:
    if file.suffix == ".parquet":
        return {"response": None, "gold": "reward_model.ground_truth"}
    return {"response": "output", "gold": "gts"}


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = [item for item in path.glob("*") if item.suffix in (".jsonl", ".parquet")]
    if not found:
        raise InputError(f"{path} is neither a file nor a folder of *.jsonl or *.parquet files")
    return sorted(found, key=lambda item: (len(item.stem), item.stem))


class _UnusableError(CareVerlError, ValueError):
    """Why a record cannot be used."""


def _parquet(file: Path, columns: Columns) -> Iterator[tuple[str, dict[str, Any]]]:
    with pq.ParquetFile(file) as table:
        names = table.schema_arrow.names
        needed = {columns.gold.split(".")[0]} | _head(columns.response)
        needed |= {"acc"} if columns.recorded else set()
        if missing := needed - set(names):
            raise InputError(
                f"{file} has the columns {sorted(names)}, not {sorted(missing)}: name them with "
                "--response-key and --gold-key"
            )
        wanted = [name for name in names if name in needed | _OPTIONAL]
        batches = table.iter_batches(batch_size=_BATCH_ROWS, columns=wanted)
        rows = (row for batch in batches for row in batch.to_pylist())
        for number, row in enumerate(rows, start=1):
            yield f"{file}:row {number}", row


def _head(key: str | None) -> set[str]:
    return set() if key is None else {key.split(".")[0]}


def _case(where: str, record: dict[str, Any], columns: Columns) -> Case:
    gold = _at(record, columns.gold)
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        raise _UnusableError(f"{columns.gold} is a {type(gold).__name__}, expected a text")
    response = None if columns.response is None else _at(record, columns.response)
    if columns.response is not None and not isinstance(response, str):
        raise _UnusableError(f"{columns.response} is a {type(response).__name__}, expected a text")
    extra = record.get("extra_info")
    choices = extra.get("choices") if isinstance(extra, Mapping) else None
    return Case(
        where=where,
        response=response,
        gold=str(gold),
        data_source=columns.data_source or str(record.get("data_source") or ""),
        choices=tuple(str(choice) for choice in choices) if choices else None,
        recorded=_recorded(record) if columns.recorded else None,
    )


def _at(record: Mapping[str, Any], key: str) -> Any:
    value: Any = record
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise _UnusableError(f"no {key!r} among {sorted(map(str, record))}")
        value = value[name]
    return value


def _recorded(record: Mapping[str, Any]) -> FirstVerdict:
    acc = _at(record, "acc")
    if not isinstance(acc, int | float) or acc not in (0, 1):
        raise _UnusableError(f"acc is {acc!r}, expected 0 or 1")
    pred = record.get("pred")
    answer = None if pred is None else str(pred)
    return FirstVerdict(float(acc), answer, str(record.get("rule") or "unknown"))
