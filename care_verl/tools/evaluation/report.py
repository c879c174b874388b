"""An evaluation as a whole, and as `results.json`.

That file has `version` 2; a change that its readers would notice gets another number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from care_verl.tools.evaluation.lines import Gain, Line, gains
from care_verl.tools.evaluation.paper import PaperRow
from care_verl.tools.evaluation.statistics import Difference, Interval

FORMAT = "care-verl evaluation"
VERSION = 2


@dataclass(frozen=True)
class Report:
    """All that is to be written. `settings` say how the answers were made."""

    lines: Sequence[Line]
    paper: Sequence[PaperRow]
    settings: dict[str, Any]
    notes: Sequence[str] = field(default_factory=list)

    @property
    def gains(self) -> list[Gain]:
        """Every line against the first."""
        return gains(self.lines)


def to_json(report: Report) -> dict[str, Any]:
    """`results.json`. Accuracies and differences are shares, not per cent; null where undefined."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "settings": report.settings,
        "notes": list(report.notes),
        "lines": [_line(line) for line in report.lines],
        "differences": [_gain(gain) for gain in report.gains],
        "paper": [asdict(row) for row in report.paper],
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "label": line.label,
        "models": [
            asdict(seed.model) | {"shards": _path(seed.model.shards)} for seed in line.seeds
        ],
        "benchmarks": {name: _benchmark(line, name) for name in line.benchmarks},
        "macro": _interval(line.macro()),
    }


def _benchmark(line: Line, name: str) -> dict[str, Any]:
    answers = [seed.answers[name] for seed in line.seeds]
    return {
        "questions": len(answers[0]),
        "accuracy": _interval(line.accuracy(name)),
        "well_formed": _interval(line.well_formed(name)),
        "by_seed": [sum(answer.acc for answer in own) / len(own) for own in answers],
        "groups": {group: _interval(one) for group, one in line.groups(name).items()},
    }


def _gain(gain: Gain) -> dict[str, Any]:
    return {
        "label": gain.label,
        "over": gain.over,
        "benchmarks": {name: _difference(one) for name, one in gain.benchmarks.items()},
        "macro": _interval(gain.macro),
    }


def _difference(difference: Difference) -> dict[str, Any]:
    found = _interval(difference.interval) or {}
    return {**found, "better": difference.better, "worse": difference.worse}


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in asdict(interval).items()
    }


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
