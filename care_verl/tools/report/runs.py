"""Reading a run: its record, the lines of verl's file logger, or both."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from care_verl.common.errors import CareVerlError
from care_verl.records.files import FOLDER, RunRecord, StepRecord
from care_verl.records.schema import RecordError
from care_verl.tools.report.groups import COLUMNS, Groups, groups_of

METRICS_FILE = "metrics.jsonl"
Metrics = Mapping[str, float]


class ReportError(CareVerlError, ValueError):
    """A RUN that cannot be reported on."""


@dataclass(frozen=True)
class Run:
    """What is known of a run.

    metrics: of each step, in order of steps; step 0 may hold the validation before training.
    groups: of the recorded steps; None without any rows.
    config: as written by the run's last start; empty where it is not known.
    notes: what could not be read.
    """

    path: Path
    metrics: Mapping[int, Metrics]
    groups: Groups | None
    config: Mapping[str, Any]
    seeds: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def setting(self, key: str) -> Any:
        """A value of the configuration by its dotted name; None where it is not known."""
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """The runs, see `load_run`. Raises ReportError for a run that is given twice, too."""
    folders = [path.parent if path.name in (FOLDER, METRICS_FILE) else path for path in paths]
    twice = [str(path) for path, n in Counter(f.resolve() for f in folders).items() if n > 1]
    if twice:
        raise ReportError(f"{', '.join(twice)} is given more than once; a run is one seed, not two")
    return [load_run(path) for path in paths]


def load_run(path: Path) -> Run:
    """The run in a folder with a record, with `metrics.jsonl`, or with both; or such a file.

    Where a metric is in both, the record's counts. A damaged step is left out and noted.

    Raises:
        ReportError: the path holds neither, or no step.
        RecordError: a record of another kind or version.
    """
    if path.is_file():
        lines, notes = _metric_lines(path)
        return _checked(Run(path, lines, None, {}, {}, tuple(notes)))
    if not path.is_dir():
        raise ReportError(f"{path} does not exist; expected the folder of a run, or its metrics")
    logged = (path.parent if path.name == FOLDER else path) / METRICS_FILE
    lines, notes = _metric_lines(logged) if logged.exists() else ({}, [])
    try:
        record = RunRecord.find(path)
    except RecordError as error:
        if not lines:
            raise ReportError(f"{error}. Nor is there a {METRICS_FILE}") from error
        return _checked(Run(path, lines, None, {}, {}, tuple(notes)))
    return _checked(_with_record(path, record, lines, notes))


def _with_record(path: Path, record: RunRecord, lines: dict[int, Metrics], notes: list[str]) -> Run:
    starts = _starts(record, notes)
    first_steps = {n: start["first_step"] for n, start in enumerate(starts, 1)}
    groups = []
    for step in _whole_steps(record, notes):
        if step.superseded(first_steps):
            continue  # a later start went back behind this step, and has not made it anew yet
        lines[step.step] = {**lines.get(step.step, {}), **step.metrics}
        try:
            groups.append(groups_of(step.table(COLUMNS), step.step))
        except (OSError, ValueError) as error:
            notes.append(_damage(step.path, error, "its rows are"))
    joined = Groups.joined(groups) if groups else None
    config, seeds = (starts[-1]["config"], starts[-1]["seeds"]) if starts else ({}, {})
    return Run(path, dict(sorted(lines.items())), joined, config, seeds, tuple(notes))


def _whole_steps(record: RunRecord, notes: list[str]) -> Iterator[StepRecord]:
    for file in sorted(record.folder.glob("step_*.parquet")):
        try:
            yield StepRecord.open(file)
        except RecordError:
            raise
        except FileNotFoundError:
            continue  # the run keeps its last steps only, and dropped this one just now
        except (OSError, ValueError) as error:
            notes.append(_damage(file, error, "it is"))


def _starts(record: RunRecord, notes: list[str]) -> list[dict[str, Any]]:
    try:
        return record.starts()
    except (OSError, ValueError) as error:
        notes.append(f"what `{record.folder}` says of the run's starts cannot be read: {error}")
        return []


def _damage(file: Path, error: Exception, what: str) -> str:
    reason = " ".join(str(error).split())[:120]
    return f"`{file}` is damaged, {what} left out: {reason}"


def _metric_lines(file: Path) -> tuple[dict[int, Metrics], list[str]]:
    """Metrics by step, and notes on lines that are no metrics; a resumed run's last word counts."""
    found: dict[int, Metrics] = {}
    notes = []
    lines = file.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            break  # still being written
        try:
            record = json.loads(line)
            step, data = int(record["step"]), dict(record["data"])
        except (ValueError, KeyError, TypeError) as error:
            notes.append(f"`{file}` line {number} is left out: {type(error).__name__}: {error}")
            continue
        # Validation before training and the step itself may be lines of their own.
        found[step] = {**found.get(step, {}), **_finite(data)}
    return dict(sorted(found.items())), notes


def _finite(data: Mapping[str, Any]) -> Metrics:
    return {
        name: float(value)
        for name, value in data.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _checked(run: Run) -> Run:
    if not run.metrics:
        notes = "".join(f"; {note}" for note in run.notes)
        raise ReportError(f"{run.path} holds no step that can be read{notes}")
    return run
