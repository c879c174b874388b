"""Fuzz the verifier: python tests/verifier/fuzz/run.py --count 100000 --seed 0 --workers 2

Verdicts are asked for from threads, as a training run does. Exits with status 1 on any exception,
on any verdict that took more than `--limit` seconds, and on any broken invariant.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import track

from care_verl.verifier import verify

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzz.corpus import case_at
from fuzz.judging import LIMIT_S, Outcome, judge, shown

HANG_S = 60.0
WORKER_LIMIT_S = 1.0
"""Processor time of one comparison; what is undecided sooner was refused before it cost any."""

SHOWN = 10
"""Broken cases that are printed in full."""


@dataclass
class Tally:
    """What a run found; `limit_s` is what one verdict may take."""

    limit_s: float
    rules: Counter[str] = field(default_factory=Counter)
    right: int = 0
    verdicts: int = 0
    exceptions: int = 0
    slow: int = 0
    timeouts: int = 0
    slowest: tuple[float, int] = (0.0, 0)
    broken: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)

    def add(self, position: int, outcome: Outcome) -> None:
        self.rules[outcome.rule] += 1
        self.right += outcome.acc == 1
        self.verdicts += outcome.verdicts
        self.exceptions += outcome.rule == "exception"
        self.slow += outcome.seconds > self.limit_s
        self.timeouts += outcome.rule == "undecided" and outcome.seconds >= WORKER_LIMIT_S
        self.slowest = max(self.slowest, (outcome.seconds, position))
        if outcome.problems:
            self.broken.append((position, outcome.problems))


def outcomes(
    seed: int, positions: range, workers: int, limit_s: float
) -> Iterator[tuple[int, Outcome]]:
    """Each position with its outcome, as they come. Ends the process when none comes for a minute:
    a thread that hangs cannot be stopped."""
    left = iter(positions)
    pending: dict[Future[Outcome], int] = {}
    with ThreadPoolExecutor(workers) as pool:
        while True:
            while len(pending) < 4 * workers and (position := next(left, None)) is not None:
                pending[
                    pool.submit(lambda at: judge(case_at(seed, at), limit_s=limit_s), position)
                ] = position
            if not pending:
                return
            done, _ = wait(pending, timeout=HANG_S, return_when=FIRST_COMPLETED)
            if not done:
                print(f"no verdict for {HANG_S:.0f} s on one of {sorted(pending.values())}")
                sys.stdout.flush()
                os._exit(1)
            for future in done:
                yield pending.pop(future), future.result()


def report(tally: Tally, seed: int, count: int, seconds: float) -> str:
    slowest, position = tally.slowest
    rules = ", ".join(f"{rule} {number}" for rule, number in tally.rules.most_common())
    lines = [
        f"cases {count}, right {tally.right}, verdicts {tally.verdicts}",
        f"exceptions {tally.exceptions}, over {tally.limit_s:.0f} s {tally.slow}",
        f"timeouts {tally.timeouts}, cases with a problem {len(tally.broken)}",
        f"rules: {rules}",
        f"{tally.verdicts / seconds:.0f} verdicts per second in {seconds:.0f} s",
        f"slowest {slowest:.2f} s: {shown(case_at(seed, position), position)}",
    ]
    for position, problems in tally.broken[:SHOWN]:
        lines += [
            shown(case_at(seed, position), position),
            *(f"    {problem}" for problem in problems),
        ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="threads that ask for verdicts")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for one verdict")
    arguments = parser.parse_args()
    # The first verdict starts the verifier's processes, which is no verdict's time.
    verify(r"<think>x</think><answer>\sqrt{8}</answer>", r"2\sqrt{2}")
    tally = Tally(arguments.limit)
    begin = time.perf_counter()
    found = outcomes(arguments.seed, range(arguments.count), arguments.workers, arguments.limit)
    for position, outcome in track(found, total=arguments.count, description="verdicts"):
        tally.add(position, outcome)
    print(report(tally, arguments.seed, arguments.count, time.perf_counter() - begin))
    return int(bool(tally.broken))


if __name__ == "__main__":
    sys.exit(main())
