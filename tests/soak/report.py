"""What a soak run shows: a line for every series, as a table and as JSON.

    python -m tests.soak.report DIR [--warm-up STEPS]

reads `samples.jsonl` and `metrics.jsonl` in DIR, writes `soak.json` and `soak.md` there, and ends
with status 1 when something grows.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .trend import Trend, trend

WARM_UP = 60
"""Steps left out: allocators and caches of fixed size fill up."""

Series = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Tolerance:
    """Growth per 100 steps that counts as none: `share` of the level, at least `least`."""

    share: float
    least: float

    def of(self, level: float) -> float:
        return max(self.share * abs(level), self.least)


TOLERANCES = {
    "uss_mib": Tolerance(0.01, 5.0),
    "descriptors": Tolerance(0.0, 1.0),
    "threads": Tolerance(0.0, 1.0),
    "shm_mib": Tolerance(0.0, 1.0),
    "shm_files": Tolerance(0.0, 0.5),
    "queue_rows": Tolerance(0.0, 0.5),
    "step_seconds": Tolerance(0.03, 0.0),
}
METRICS = {"timing_s/step": "step_seconds", "care/queue/rows": "queue_rows"}


@dataclass(frozen=True)
class Finding:
    """One series: what it is of, in which unit, its trend, and what that means."""

    name: str
    unit: str
    trend: Trend
    first: float
    last: float

    @property
    def tolerance(self) -> float:
        return TOLERANCES[self.unit].of(self.trend.level)

    @property
    def verdict(self) -> str:
        return self.trend.verdict(self.tolerance)


def findings(folder: Path, warm_up: int) -> list[Finding]:
    """All series of a run after its warm-up, in a fixed order; too short ones are left out."""
    series: dict[tuple[str, str], Series] = defaultdict(lambda: ([], []))
    for name, unit, step, value in (*_samples(folder), *_metrics(folder)):
        if step > warm_up:
            steps, values = series[name, unit]
            steps.append(step)
            values.append(value)
    found = []
    for (name, unit), (steps, values) in sorted(series.items(), key=lambda item: item[0][::-1]):
        line = trend(steps, values)
        if line is not None:
            found.append(Finding(name, unit, line, values[0], values[-1]))
    return found


def _samples(folder: Path) -> Iterator[tuple[str, str, int, float]]:
    for record in _lines(folder / "samples.jsonl"):
        step = int(record["step"])
        for name, sums in record["roles"].items():
            for unit in ("uss_mib", "descriptors", "threads"):
                yield name, unit, step, float(sums[unit])
        yield "/dev/shm", "shm_mib", step, float(record["shm_mib"])
        yield "/dev/shm", "shm_files", step, float(record["shm_files"])


def _metrics(folder: Path) -> Iterator[tuple[str, str, int, float]]:
    for record in _lines(folder / "metrics.jsonl"):
        for metric, unit in METRICS.items():
            if metric in record["data"]:
                yield metric, unit, int(record["step"]), float(record["data"][metric])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def markdown(found: list[Finding], warm_up: int) -> str:
    """The table, with the criterion above it."""
    lines = [
        f"Lines through means of ten steps, the first {warm_up} steps left out. *Growing*: the "
        "95 % interval of the slope lies above the tolerance; *flat*: it ends below it.",
        "",
        "| what | unit | level | first → last | slope per 100 steps (95 %) | tolerance | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        line = one.trend
        lines.append(
            f"| {one.name} | {one.unit} | {line.level:.4g} | {one.first:.4g} → {one.last:.4g} "
            f"| {line.slope:+.3g} ± {line.half_width:.2g} | {one.tolerance:.2g} | {one.verdict} |"
        )
    return "\n".join(lines) + "\n"


def write(folder: Path, warm_up: int) -> list[Finding]:
    """Write `soak.json` and `soak.md`; return what they say."""
    found = findings(folder, warm_up)
    (folder / "soak.md").write_text(markdown(found, warm_up))
    plain = [
        {
            "name": one.name,
            "unit": one.unit,
            "level": one.trend.level,
            "first": one.first,
            "last": one.last,
            "slope_per_100_steps": one.trend.slope,
            "half_width_95": one.trend.half_width,
            "blocks": one.trend.blocks,
            "tolerance": one.tolerance,
            "verdict": one.verdict,
        }
        for one in found
    ]
    (folder / "soak.json").write_text(json.dumps({"warm_up": warm_up, "series": plain}, indent=1))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--warm-up", type=int, default=WARM_UP)
    args = parser.parse_args()
    found = write(args.folder, args.warm_up)
    print((args.folder / "soak.md").read_text())
    if not found:
        raise SystemExit(f"{args.folder} holds fewer than 40 steps after {args.warm_up} of warm-up")
    raise SystemExit(1 if any(one.verdict == "growing" for one in found) else 0)


if __name__ == "__main__":
    main()
