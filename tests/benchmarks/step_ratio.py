"""What a step of CARE takes against a step of GRPO, stage by stage, through `main_ppo`.

    python -m tests.benchmarks.step_ratio --out DIR --steps 8 --pairs 3
    python -m tests.benchmarks.step_ratio --out DIR --recipe embedded,hardware/gpu1   # on a card

Runs of the embedded recipe, one with either estimator in turn, on the same prompts; the learning
rate is 0, so that all steps do alike work. The numbers are those that the trainer logs
(`timing_s/*`). Of each run the first step, which warms up, is left out, and each stage is given as
the mean over the other steps. A stage that one side does not have is listed as that side's alone.
On so small a model the share of fixed costs is larger than on any that people train.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.paired import Pair, chosen_device, machine
from tests.e2e.running import Run
from tests.soak.run import overrides

SIDES = ("care", "grpo")
STAGE = "timing_s/"
WHOLE = "step"

Stages = dict[str, float]
"""Seconds a step by stage."""


def stages_of(metrics: Sequence[dict[str, Any]]) -> Stages:
    """Means over steps; a stage that a step does not have took nothing in it."""
    names = {name for step in metrics for name in step if name.startswith(STAGE)}
    return {
        name.removeprefix(STAGE): float(np.mean([step.get(name, 0.0) for step in metrics]))
        for name in sorted(names)
    }


def run_side(folder: Path, settings: Sequence[str], steps: int) -> Stages:
    """One run; raises SystemExit with the end of its log where it fails."""
    with Run(folder, settings) as run:
        if run.finish(timeout=120 + 120 * steps) != 0:
            raise SystemExit(f"the run failed:\n{run.tail()}")
        metrics = [values for step, values in run.metrics() if step > 1]
    if len(metrics) != steps:
        raise SystemExit(f"{folder}: {len(metrics)} steps behind the first, expected {steps}")
    return stages_of(metrics)


def table(pairs: Sequence[tuple[Stages, Stages]]) -> str:
    """Markdown: one row a stage, the longest first."""
    lines = ["| stage | CARE, s | GRPO, s | ratio, and its ends |", "|---|---|---|---|"]
    names = {name for pair in pairs for side in pair for name in side}
    mean = {name: np.mean([pair[0].get(name, 0.0) for pair in pairs]) for name in names}
    for name in sorted(names, key=lambda name: -mean[name]):
        sides = [[side.get(name, 0.0) for side in pair] for pair in pairs]
        care, grpo = (float(np.median(side)) for side in zip(*sides, strict=True))
        if all(value > 0 for pair in sides for value in pair):
            ratios = [first / second for first, second in sides]
            ratio = f"{np.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        else:
            ratio = "one side only"
        lines.append(f"| `{name}` | {care:.3f} | {grpo:.3f} | {ratio} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a folder with data and policy, made if missing")
    parser.add_argument("--recipe", default="embedded", help="as in +recipe=[...]")
    parser.add_argument("--steps", type=int, default=8, help="of a run, behind the first")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side")
    parser.add_argument("overrides", nargs="*", help="further Hydra overrides, of both sides")
    wanted = parser.parse_args()
    out = wanted.out.resolve()
    _, *settings = overrides((wanted.data or out / "data").resolve(), wanted.steps + 1)
    pairs = []
    for turn in range(wanted.pairs):
        found = {}
        for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
            folder = out / f"{side}{turn}"
            found[side] = run_side(
                folder,
                [
                    f"+recipe=[{wanted.recipe}]",
                    *settings,
                    f"algorithm.adv_estimator={side}",
                    f"trainer.default_local_dir={folder / 'checkpoints'}",
                    "actor_rollout_ref.actor.optim.lr=0",
                    *wanted.overrides,
                ],
                wanted.steps,
            )
        pairs.append((found["care"], found["grpo"]))
    whole = Pair.of(("CARE", "GRPO"), [[side[WHOLE] for side in pair] for pair in pairs])
    print(f"{wanted.recipe}, {wanted.steps} steps a run, on {machine(chosen_device(None))}")
    print(whole.line("s a step"))
    print(table(pairs))


if __name__ == "__main__":
    main()
