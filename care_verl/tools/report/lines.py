"""Which runs are seeds of one line, and what the lines are called."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from care_verl.methods import METHODS, Method
from care_verl.tools.lines import SeedLine
from care_verl.tools.report.groups import Groups
from care_verl.tools.report.runs import METRICS_FILE, ReportError, Run
from care_verl.tools.report.series import metric

_NO_METHOD = ("seed", "capture.", "records.", "parity.", "embedding.")
"""Settings that say which draw or what is written, not what is learned."""

_NAMES = (
    "trainer.default_local_dir",
    "trainer.experiment_name",
    "trainer.project_name",
    "trainer.logger",
    "trainer.resume_",
    "trainer.rollout_data_dir",
    "trainer.validation_data_dir",
    *(f"algorithm.{method}.{what}." for method in METHODS for what in ("capture", "records")),
)


@dataclass(frozen=True)
class Line(SeedLine[Run]):
    """One line of a figure: a label and the runs that are its seeds."""

    @property
    def groups(self) -> Groups | None:
        """The recorded groups of all its runs; None where there is none."""
        known = [run.groups for run in self.seeds if run.groups is not None]
        return Groups.joined(known) if known else None

    def total(self, name: str) -> float:
        """Sum of a metric over steps and runs."""
        return sum(float(metric(name)(run).values.sum()) for run in self.seeds)


def lines_of(runs: Sequence[Run], names: Sequence[str]) -> list[Line]:
    """Runs of equal names together, in order of first appearance; without names, default labels.

    Raises ReportError when there are names, but not one for each run.
    """
    if names and len(names) != len(runs):
        raise ReportError(
            f"{len(names)} names for {len(runs)} runs; expected one for each, or none"
        )
    return Line.by_label(list(names) or default_labels(runs), runs)


def default_labels(runs: Sequence[Run]) -> list[str]:
    """Method, CARE's K and the settings in which runs of one method differ; else the folder."""
    shown = {name: [*method.label, *_differing(runs, method)] for name, method in METHODS.items()}
    return [_label(run, shown.get(_method(run) or "", ())) for run in runs]


def _method(run: Run) -> str | None:
    """The estimator; None where it is not known."""
    name = run.setting("algorithm.adv_estimator")
    if name is None and run.setting("algorithm.care"):
        return "care"
    return None if name is None else str(name)


def _own(run: Run) -> dict[str, Any]:
    """The settings of the run's method by their names in its section."""
    method = _method(run)
    section = run.setting(f"algorithm.{method}") if method in METHODS else None
    return dict(_flat(section or {}))


def _differing(runs: Sequence[Run], method: Method) -> list[str]:
    """Settings, beside those of its label, in which the method's runs differ."""
    settings = [own for run in runs if _method(run) == method.name and (own := _own(run))]
    others = {key for one in settings for key in one} - set(method.label)
    return [
        key
        for key in sorted(others)
        if not key.startswith(_NO_METHOD) and _values(settings, key) > 1
    ]


def _label(run: Run, shown: Sequence[str]) -> str:
    method, settings = _method(run), _own(run)
    if method is None:
        own = run.path if run.path.name not in (METRICS_FILE, "records") else run.path.parent
        return own.resolve().stem if own.is_file() else own.resolve().name
    told = (f"{key}={_short(settings[key])}" for key in shown if key in settings)
    return " ".join([method, *told])


def _short(value: Any) -> str:
    """A value as text; a long one, such as a cue, by its beginning and a checksum."""
    text = str(value)
    return text if len(text) <= 20 else f"{text[:12]}…{crc32(text.encode()):08x}"


def notes_on(line: Line) -> Iterator[str]:
    """What speaks against taking a line's runs as its seeds."""
    known = [run for run in line.seeds if run.config]
    flat = [dict(_flat(run.config)) for run in known]
    differing = sorted(
        key
        for key in {key for settings in flat for key in settings}
        if not key.startswith(_NAMES) and "seed" not in key and _values(flat, key) > 1
    )
    if differing:
        yield f"the runs of *{line.label}* differ in more than seeds: {', '.join(differing)}"
    seeds = Counter(json.dumps(run.seeds, sort_keys=True) for run in known)
    for text, count in seeds.items():
        if count > 1:
            yield f"{count} runs of *{line.label}* have the same seeds {text}: they are no sample"
    ends = sorted({max(run.metrics) for run in line.seeds})
    if len(ends) > 1:
        yield (
            f"the runs of *{line.label}* end at steps {', '.join(map(str, ends))}: its mean goes "
            "as far as all of them"
        )


def _values(flat: Sequence[Mapping[str, Any]], key: str) -> int:
    return len({json.dumps(settings.get(key), sort_keys=True) for settings in flat})


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
