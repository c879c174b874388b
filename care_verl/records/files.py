"""Where the files of a record are, and reading them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.records.schema import FORMAT, HEADER, READABLE, ROW, RUN, RecordError

FOLDER = "records"
IMAGES = "images"
_STEP = re.compile(r"step_(\d+)\.parquet")
_RUN = re.compile(r"run_(\d+)\.parquet")


def step_name(step: int) -> str:
    return f"step_{step:06d}.parquet"


def steps_in(folder: Path) -> list[int]:
    """Numbers of the steps whose files are in a folder."""
    found = (_STEP.fullmatch(path.name) for path in folder.iterdir())
    return [int(name[1]) for name in found if name]


@dataclass(frozen=True)
class StepRecord:
    """One step: `metrics` by name, and the table of its rows, read when it is asked for.

    `start` says which start of the run made it, counted from 1.
    """

    path: Path
    step: int
    metrics: dict[str, float]
    start: int = 1

    @classmethod
    def open(cls, path: Path) -> StepRecord:
        """Read a step's header. Raises RecordError for another kind of file or version."""
        header = _header(path, pq.read_schema(path).metadata or {})
        return cls(path, int(header["step"]), header["metrics"], int(header["start"]))

    def superseded(self, first_steps: Mapping[int, int]) -> bool:
        """Whether a later start of the run went back behind this step, to make it anew.

        first_steps: the step that each start began with, by the start's number.
        """
        return any(n > self.start and first <= self.step for n, first in first_steps.items())

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """The rows; all columns of `ROW`, or those named. Columns that a file lacks are null."""
        wanted = ROW if columns is None else pa.schema([ROW.field(name) for name in columns])
        present = set(pq.read_schema(self.path).names)
        table = pq.read_table(self.path, columns=[n for n in wanted.names if n in present])
        for field in wanted:
            if field.name not in present:
                table = table.append_column(field.name, pa.nulls(len(table), field.type))
        return table.select(wanted.names)

    def rows(self, columns: list[str] | None = None) -> list[dict[str, Any]]:
        """The rows as mappings."""
        rows: list[dict[str, Any]] = self.table(columns).to_pylist()
        return rows


@dataclass(frozen=True)
class RunRecord:
    """The record in a folder, which may still be written to."""

    folder: Path

    @classmethod
    def find(cls, path: Path) -> RunRecord:
        """The record in `path` or in its folder `records`. Raises RecordError where none is."""
        for folder in (path, path / FOLDER):
            if folder.is_dir() and steps_in(folder):
                return cls(folder)
        raise RecordError(
            f"{path} holds no record; expected {step_name(1)} and the like, there or in its "
            f"folder {FOLDER!r}. A run of CARE or GRPO-CARE writes them unless its setting "
            "records.every is 0"
        )

    @cached_property
    def steps(self) -> list[StepRecord]:
        """All whole steps, in order, at least one.

        Left out are steps that a later start of the run has gone back behind: it writes them anew,
        and until then they are no part of the run.

        Raises RecordError for a file of another version, and where no step is left.
        """
        opened = (_opened(self.folder / step_name(step)) for step in steps_in(self.folder))
        steps = sorted((step for step in opened if step), key=lambda step: step.step)
        firsts = self._first_steps()
        current = [step for step in steps if not step.superseded(firsts)]
        if not current:
            raise RecordError(
                f"{self.folder} holds {len(steps)} steps, all of them of an earlier start of the "
                f"run; the last one, from step {firsts[max(firsts)]}, has not recorded any yet"
            )
        return current

    def step(self, number: int) -> StepRecord:
        """One step. Raises RecordError where it was not recorded; the message lists what was."""
        for step in self.steps:
            if step.step == number:
                return step
        known = [step.step for step in self.steps]
        raise RecordError(
            f"step {number} is not in {self.folder}, which holds {len(known)} steps from "
            f"{known[0]} to {known[-1]}"
        )

    def starts(self) -> list[dict[str, Any]]:
        """Each start of the run, the first one first, its JSON columns parsed."""
        paths = sorted(path for path in self.folder.iterdir() if _RUN.fullmatch(path.name))
        tables = (pq.read_table(path, columns=RUN.names) for path in paths)
        return [_parsed(row) for table in tables for row in table.to_pylist()]

    def _first_steps(self) -> dict[int, int]:
        """The step that each start of the run began with, by the start's number."""
        files = ((_RUN.fullmatch(path.name), path) for path in self.folder.iterdir())
        return {
            int(name[1]): pq.read_table(path, columns=["first_step"])["first_step"][0].as_py()
            for name, path in files
            if name
        }

    def image(self, name: str) -> bytes:
        """An image's file."""
        return (self.folder / IMAGES / name).read_bytes()

    def __iter__(self) -> Iterator[StepRecord]:
        return iter(self.steps)


def _opened(path: Path) -> StepRecord | None:
    """A step; None for one that the run has dropped since the folder was looked at."""
    try:
        return StepRecord.open(path)
    except FileNotFoundError:
        return None


def _header(path: Path, metadata: dict[bytes, bytes]) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(metadata.get(HEADER, b"{}"))
    found = header.get("format"), header.get("version")
    if found[0] != FORMAT or found[1] not in READABLE:
        raise RecordError(
            f"{path} holds {found[0]!r} of version {found[1]!r}; expected {FORMAT!r} of version "
            f"{' or '.join(map(str, READABLE))}"
        )
    return header


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    documents = ("config", "versions", "git", "seeds")
    return {**row, **{name: json.loads(row[name]) for name in documents}}
