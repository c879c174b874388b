"""What the record of a run costs: runs of the embedded recipe with it and without, in turn.

    python -m tests.benchmarks.record_cost --out DIR --pairs 3 --steps 6

The recipe decodes with seeds, so both runs of a pair do the same work. Of each pair it prints the
ratio of the medians of `timing_s/step`, on against off, which other work of the machine moves by
more than the record does; and within the recorded run `timing_s/records`, the seconds that the
trainer waits for it, against the rest of the step. The first step, which warms up, is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from care_verl.records.files import RunRecord
from tests.e2e.running import Run
from tests.soak.run import overrides

WARM_UP = 1
SIDES = {"off": 0, "on": 1}


def run_side(folder: Path, settings: Sequence[str], side: str) -> list[dict[str, Any]]:
    """Metrics of the steps behind the warm-up."""
    extra = [
        f"trainer.default_local_dir={folder / 'checkpoints'}",
        f"+algorithm.care.records.every={SIDES[side]}",
    ]
    with Run(folder, [*settings, *extra]) as run:
        if run.finish(timeout=3600) != 0:
            raise SystemExit(f"{folder} failed:\n{run.tail()}")
        return [data for _, data in run.metrics()][WARM_UP:]


def seconds(steps: Sequence[dict[str, Any]]) -> float:
    return median(step["timing_s/step"] for step in steps)


def waited(steps: Sequence[dict[str, Any]]) -> float:
    """Share of the steps' seconds without the record that the trainer waited for it."""
    records = sum(step["timing_s/records"] for step in steps)
    return records / (sum(step["timing_s/step"] for step in steps) - records)


def size(folder: Path) -> str:
    """Bytes that a step adds, its images apart."""
    record = RunRecord.find(folder / "checkpoints")
    files = [step.path.stat().st_size for step in record]
    images = [path.stat().st_size for path in (record.folder / "images").iterdir()]
    rows = [step.metrics["care/rows/total"] for step in record]
    return (
        f"{median(files) / 1024:.0f} KiB a step of {median(rows):.0f} rows; "
        f"{len(images)} images of {median(images) / 1024:.1f} KiB"
    )


def measure(out: Path, settings: Sequence[str], pair: int) -> tuple[float, str]:
    """The ratio of a pair, and its line. Which side goes first alternates."""
    order = list(SIDES) if pair % 2 else list(SIDES)[::-1]
    folders = {side: out / f"pair{pair}-{side}" for side in order}
    steps = {side: run_side(folders[side], settings, side) for side in order}
    ratio = seconds(steps["on"]) / seconds(steps["off"])
    return ratio, (
        f"pair {pair}, {order[0]} first: off {seconds(steps['off']):.2f} s, on "
        f"{seconds(steps['on']):.2f} s a step, ratio {ratio:.3f}; waited for the record "
        f"{waited(steps['on']):.2%} of the rest of the step; {size(folders['on'])}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a folder with data and policy, made if missing")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("overrides", nargs="*", help="further Hydra overrides")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    settings = overrides((arguments.data or out / "data").resolve(), arguments.steps)
    ratios = []
    for pair in range(1, arguments.pairs + 1):
        ratio, line = measure(out, [*settings, *arguments.overrides], pair)
        ratios.append(ratio)
        print(line, flush=True)
    print(f"median ratio {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
