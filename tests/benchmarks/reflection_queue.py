"""How long reflections wait in vLLM's queue: first come, first served, and with priority.

    python -m tests.benchmarks.reflection_queue --out DIR

The embedded model with random weights decodes long responses in few places. All rollouts of a step
are queued at once; as soon as those of a group have ended, its reflection is. Steps of the two
kinds take turns on one engine, whose policy is `priority`: reflections with the rollouts' priority
are served first come, first served. Where a limit from the call on, as long as the slowest decode
of the whole benchmark, would have given a reflection up, it counts as skipped; a limit from the
first token on never would. Waves are the step's time over that of one decode.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

SIDES = {"first come": 0, "priority": -1}


@dataclass
class Request:
    """Seconds of one request on the engine's clock."""

    queued: float
    first: float = 0.0
    ended: float = 0.0


@dataclass
class Step:
    """All requests of one step, by name."""

    requests: dict[str, Request] = field(default_factory=dict)

    def decodes(self) -> list[float]:
        return [request.ended - request.first for request in self.requests.values()]

    def reflections(self) -> list[Request]:
        return [request for name, request in self.requests.items() if name.startswith("r")]

    @property
    def seconds(self) -> float:
        begin = min(request.queued for request in self.requests.values())
        return max(request.ended for request in self.requests.values()) - begin


class Queue:
    """Runs steps of `groups` groups of `rollouts` on one engine."""

    def __init__(self, engine: Any, options: argparse.Namespace) -> None:
        self._engine, self._options = engine, options

    def run(self, priority: int, seed: int) -> Step:
        rng = random.Random(seed)
        step, ended = Step(), [0] * self._options.groups
        for group in range(self._options.groups):
            for rollout in range(self._options.rollouts):
                self._add(step, f"o-{group}-{rollout}", 0, rng)
        while self._engine.has_unfinished_requests():
            for output in self._engine.step():
                request = step.requests[output.request_id]
                request.first = request.first or time.monotonic()
                if output.finished:
                    request.ended = time.monotonic()
                    kind, group, *_ = output.request_id.split("-")
                    ended[int(group)] += kind == "o"
                    if kind == "o" and ended[int(group)] == self._options.rollouts:
                        self._add(step, f"r-{group}", priority, rng)
        return step

    def _add(self, step: Step, name: str, priority: int, rng: random.Random) -> None:
        from vllm import SamplingParams

        longest = self._options.tokens
        tokens = rng.randint(longest // 2, longest)
        sampling = SamplingParams(max_tokens=tokens, ignore_eos=True, detokenize=False)
        step.requests[name] = Request(time.monotonic())
        prompt = {"prompt_token_ids": [5, 6, 7, 8]}
        self._engine.add_request(name, prompt, sampling, priority=priority)


def described(side: str, steps: list[Step], limit: float) -> str:
    reflections = [request for step in steps for request in step.reflections()]
    waits = [request.first - request.queued for request in reflections]
    late = sum(request.ended - request.queued > limit for request in reflections)
    decode = mean(seconds for step in steps for seconds in step.decodes())
    took = mean(step.seconds for step in steps)
    return (
        f"{side}: {took:.2f} s a step ({took / decode:.1f} waves); reflections waited "
        f"{median(waits):.2f} s in the middle, {max(waits):.2f} s at most; "
        f"{late} of {len(reflections)} skipped by a limit of {limit:.2f} s from the call on"
    )


def engine_of(folder: Path, options: argparse.Namespace) -> Any:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    import verl  # noqa: F401  the plugin mends what vLLM cannot do on a CPU
    from vllm import LLM

    from care_verl.data.embedded.model import save_model

    save_model(folder, seed=0)
    return LLM(
        str(folder),
        dtype="float32",
        enforce_eager=True,
        max_model_len=options.tokens + 16,
        max_num_seqs=options.places,
        scheduling_policy="priority",
    ).llm_engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--rollouts", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--places", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    queue = Queue(engine_of(options.out / "model", options), options)
    queue.run(0, seed=0)
    steps: dict[str, list[Step]] = {side: [] for side in SIDES}
    for turn in range(options.turns):
        for side, priority in SIDES.items():
            steps[side].append(queue.run(priority, seed=turn))
    everything = [step for side in steps.values() for step in side]
    limit = max(seconds for step in everything for seconds in step.decodes())
    for side in SIDES:
        print(described(side, steps[side], limit), flush=True)


if __name__ == "__main__":
    main()
