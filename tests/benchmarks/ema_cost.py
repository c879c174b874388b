"""What a moving reference costs a rank: the form of before and the one of now, in turn.

    python -m tests.benchmarks.ema_cost --parameters 3e8 --turns 7

Before: after every optimizer step the distance, by float64 norms in host memory; every tenth step a
move there. Now: both on the rank's device (a GPU where there is one), in float32 added up in
float64, and the distance only where the reference moved. Shards are random, of 16 million values
as those of a sharded transformer may be. Printed are medians in CPU seconds of the process (wall
seconds on a GPU) and their ratio, for a move, for a distance, and for ten optimizer steps.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from care_verl.algorithm import GrpoCareConfig, ema_step
from care_verl.training.grpo_care.moving_reference import MovingReference, squares

SHARD = 1 << 24
EVERY = 10


def shards(count: int, device: str) -> nn.Module:
    values = [nn.Parameter(torch.randn(SHARD, device=device)) for _ in range(count)]
    return nn.ParameterList(values)


def old_move(reference: nn.Module, policy: nn.Module) -> None:
    with torch.no_grad():
        for theirs, ours in zip(reference.parameters(), policy.parameters(), strict=True):
            theirs.copy_(ema_step(theirs, ours.to(theirs.device), 0.995))


def old_distance(reference: nn.Module, policy: nn.Module) -> float:
    sums = torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        for theirs, ours in zip(reference.parameters(), policy.parameters(), strict=True):
            for place, values in enumerate((ours.to(theirs.device) - theirs, theirs)):
                sums[place] += _norm64(values) ** 2
    return float((sums[0] / sums[1]) ** 0.5)


def new_distance(reference: nn.Module, policy: nn.Module, device: torch.device) -> float:
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    with torch.no_grad():
        for ours, theirs in zip(policy.parameters(), reference.parameters(), strict=True):
            here = theirs.to(device)
            sums[0] += squares(ours - here)
            sums[1] += squares(here)
    return float((sums[0] / sums[1]) ** 0.5)


def _norm64(values: Tensor) -> Tensor:
    return torch.linalg.vector_norm(values, dtype=torch.float64).cpu()


def seconds(work: Callable[[], Any], device: str) -> float:
    clock = time.perf_counter if device == "cuda" else time.process_time
    begun = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=float, default=3e8)
    parser.add_argument("--turns", type=int, default=7)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    count = max(1, round(arguments.parameters / SHARD))
    policy, reference = shards(count, device), shards(count, "cpu")
    engines = [
        SimpleNamespace(module=module, device_mesh=SimpleNamespace(device_type=device))
        for module in (policy, reference)
    ]
    moving = MovingReference(*engines, GrpoCareConfig(every=1))
    sides: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "move": (
            lambda: old_move(reference, policy),
            lambda: moving.after_optimizer_step(1.0),
        ),
        "distance": (
            lambda: old_distance(reference, policy),
            lambda: new_distance(reference, policy, torch.device(device)),
        ),
    }
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU"
    print(f"{count * SHARD:.2e} parameters, {torch.get_num_threads()} threads, {name}")
    took: dict[str, tuple[list[float], list[float]]] = {what: ([], []) for what in sides}
    for turn in range(arguments.turns + 1):
        for what, pair in sides.items():
            for side, work in enumerate(pair):
                spent = seconds(work, device)
                if turn:  # The first one warms up.
                    took[what][side].append(spent)
    middle = {what: [median(side) for side in both] for what, both in took.items()}
    ten = [
        middle["move"][0] + EVERY * middle["distance"][0],
        middle["move"][1] + middle["distance"][1],
    ]
    for what, (before, now) in {**middle, "ten optimizer steps": ten}.items():
        print(f"{what}: before {before:.3f} s, now {now:.3f} s, ratio {now / before:.3f}")
    for what, both in took.items():
        spread = ", ".join(f"{min(side):.3f} to {max(side):.3f}" for side in both)
        print(f"  {what}, spread: {spread}")


if __name__ == "__main__":
    main()
