"""What the harvest costs the host in one decode step, beside the sums themselves.

    python -m tests.benchmarks.harvest_step

A batch of open requests decodes on, one token each, and does not change; the table's arithmetic,
which is the device's work, is left out. It prints the median over the steps for each batch size.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from care_verl.algorithm.automaton import RationaleAutomaton
from care_verl.grammar import TagSpec
from care_verl.rollout.harvest import RationaleHarvest
from care_verl.rollout.runner import _observe
from care_verl.rollout.slots import SlotTable
from care_verl.rollout.ticket import Ticket

PROMPT, WIDTH = 100, 8


class IdleTable(SlotTable):
    """Slots without arithmetic."""

    def add(self, *args: Any) -> None:
        pass


def milliseconds(rows: int, steps: int) -> float:
    """Median of one step's time on the host."""
    automaton = RationaleAutomaton.build([b"<", b"x"], TagSpec(), ())
    table = IdleTable(automaton, WIDTH, torch.device("cpu"))
    harvest = RationaleHarvest(table, lambda delivery: None)
    names = [f"request-{row}" for row in range(rows)]
    for name in names:
        harvest.open(name, Ticket.draw(True), PROMPT)
    computed = np.full(rows, PROMPT, np.int32)
    ends = np.arange(rows + 1, dtype=np.int32)
    runner = SimpleNamespace(
        execute_model_state=SimpleNamespace(
            scheduler_output=SimpleNamespace(num_scheduled_tokens=dict.fromkeys(names, 1)),
            sample_hidden_states=torch.zeros(rows, WIDTH),
        ),
        input_batch=SimpleNamespace(
            req_ids=names, num_computed_tokens_cpu=computed, num_tokens_no_spec=computed + 1
        ),
        query_start_loc=SimpleNamespace(np=ends, gpu=torch.from_numpy(ends)),
        input_ids=SimpleNamespace(gpu=torch.zeros(rows, dtype=torch.int32)),
    )
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        _observe(harvest, runner)
        seconds.append(time.perf_counter() - began)
        computed += 1
        runner.input_batch.num_tokens_no_spec += 1
    return 1e3 * median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for rows in options.rows:
        print(f"{rows} rows: {milliseconds(rows, options.steps):.3f} ms a step", flush=True)


if __name__ == "__main__":
    main()
