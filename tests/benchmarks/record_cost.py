"""What the record of a run costs: steps with it and without, in turn, in one run.

    python -m tests.benchmarks.record_cost --out DIR --cycles 15

The embedded recipe records every fourth step here. A recorded step is read while it is trained on
and made into a file during the one that follows, so of each four steps two bear the record's cost
and two do not. The learning rate is 0: all steps do alike work. Of each cycle it takes the ratio of
the two halves, on against off, in seconds and in the CPU seconds of all processes of the run, which
other work of the machine moves less. It prints their geometric means with a 95 % interval (of
Student's t, over the cycles), and what is accounted for directly: the seconds that the trainer
waits and the CPU seconds of the writing thread. The first cycle, which warms up, is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from scipy import stats

from care_verl.records.files import RunRecord
from tests.e2e.running import Run
from tests.soak.run import overrides

CYCLE = 4
BEARING = 2
"""Steps of a cycle that bear the cost of its record: the recorded one and the next."""


@dataclass(frozen=True)
class Step:
    """metrics: as logged. cpu: CPU seconds that the run's processes had used when it was over."""

    metrics: dict[str, Any]
    cpu: float


def run_steps(run: Run) -> list[Step]:
    """All steps of a run, each looked at as it ends."""
    steps: list[Step] = []
    while run.process.poll() is None:
        for _, metrics in run.metrics()[len(steps) :]:
            steps.append(Step(metrics, cpu_seconds(run)))
        time.sleep(0.1)
    if run.process.returncode != 0:
        raise SystemExit(f"the run failed:\n{run.tail()}")
    return steps


def cpu_seconds(run: Run) -> float:
    total = 0.0
    for process in run.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def cycles(values: Sequence[float]) -> np.ndarray:
    """Ratios on / off of all whole cycles but the first. `values` has one number a step."""
    whole = np.array(values[: len(values) // CYCLE * CYCLE]).reshape(-1, CYCLE)[1:]
    return whole[:, :BEARING].sum(1) / whole[:, BEARING:].sum(1)


def described(name: str, ratios: np.ndarray) -> str:
    logs = np.log(ratios)
    mean = logs.mean()
    half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
    low, middle, high = np.exp([mean - half, mean, mean + half])
    return (
        f"{name}: on / off {middle:.3f} (95 % interval {low:.3f} to {high:.3f}, "
        f"{len(ratios)} cycles, single ones {ratios.min():.3f} to {ratios.max():.3f})"
    )


def accounted(steps: Sequence[Step]) -> str:
    """What a record takes: the trainer's wait, and the CPU time of the thread that writes it.

    Both against a step without one; together as if nothing of it overlapped with other work.
    """
    plain = median(step.metrics["timing_s/step"] for step in without(steps))
    waited = median(step.metrics["timing_s/records"] for step in steps[CYCLE::CYCLE])
    thread = median(step.metrics["timing_s/records_thread"] for step in steps[CYCLE + 1 :: CYCLE])
    return (
        f"a record: {waited:.3f} s waited for, {thread:.3f} s of its thread, of a step of "
        f"{plain:.2f} s without one: {waited / plain:.2%} + {thread / plain:.2%}"
    )


def without(steps: Sequence[Step]) -> list[Step]:
    """The steps behind the first cycle that bear no record's cost."""
    return [step for at, step in enumerate(steps) if at >= CYCLE and at % CYCLE >= BEARING]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a folder with data and policy, made if missing")
    parser.add_argument("--cycles", type=int, default=15, help=f"of {CYCLE} steps, after the first")
    parser.add_argument("overrides", nargs="*", help="further Hydra overrides")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    settings = [
        *overrides((arguments.data or out / "data").resolve(), CYCLE * (arguments.cycles + 1)),
        f"trainer.default_local_dir={out / 'checkpoints'}",
        f"+algorithm.care.records.every={CYCLE}",
        "actor_rollout_ref.actor.optim.lr=0",
        *arguments.overrides,
    ]
    with Run(out, settings) as run:
        steps = run_steps(run)
    seconds = [step.metrics["timing_s/step"] for step in steps]
    cpu = np.diff([step.cpu for step in steps], prepend=0.0)
    print(described("seconds", cycles(seconds)))
    print(described("CPU seconds", cycles(list(cpu))))
    print(accounted(steps))
    print(size(out))


if __name__ == "__main__":
    main()
