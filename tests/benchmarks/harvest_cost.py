"""What the rationale harvest costs a decode step.

    python -m tests.benchmarks.harvest_cost --rows 64 256 1024
    python -m tests.benchmarks.harvest_cost --engine --requests 64 --tokens 100

The first feeds steps of as many rows to `RationaleHarvest.observe`, as a model of hidden size
`--width` would, on a card where there is one: blocks of steps whose batch stays as it is, and, in
turn, blocks in which at each step one request ends and another begins. How the engine's rows are
read (`care_verl.rollout.runner`) is not in it; `tests.benchmarks.harvest_step` has that.

The second decodes with vLLM on the embedded model with random weights, in this process: the same
requests with the harvest and without it, in turn. It shows the whole cost of a step, on a model so
small that its share is the largest there can be.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from care_verl.algorithm.automaton import RationaleAutomaton
from care_verl.grammar import TagSpec
from care_verl.rollout.harvest import RationaleHarvest, Step
from care_verl.rollout.slots import SlotTable
from care_verl.rollout.ticket import Ticket
from tests.benchmarks.paired import Pair, chosen_device, machine

VOCABULARY = 151_936
STEPS = 50
"""Of a block, which is timed as one."""


class Decoding:
    """A batch of requests inside their rationales."""

    def __init__(self, rows: int, width: int, device: torch.device) -> None:
        words = [b" word"] * VOCABULARY
        automaton = RationaleAutomaton.build(words, TagSpec(think="think"), [])
        table = SlotTable(automaton, width, device)
        self.harvest = RationaleHarvest(table, lambda delivery: None)
        self.tokens = torch.zeros(rows, dtype=torch.int64, device=device)
        self.hidden = torch.randn(rows, width, device=device).to(torch.bfloat16)
        self.names: list[str] = []
        self.fed = np.zeros(0, np.int64)
        self._opened = 0
        for _ in range(rows):
            self._open()

    def steady(self) -> None:
        """A block of steps of the same requests."""
        for _ in range(STEPS):
            self._step()

    def changing(self) -> None:
        """A block in which at each step the oldest request ends and another begins."""
        for _ in range(STEPS):
            self._step()
            self.harvest.close([self.names.pop(0)])
            self.fed = self.fed[1:]
            self._open()

    def _open(self) -> None:
        name = str(self._opened)
        self._opened += 1
        self.harvest.open(name, Ticket.draw(prefilled=True), 0)
        self.names.append(name)
        self.fed = np.append(self.fed, 0)

    def _step(self) -> None:
        self.harvest.observe(Step(self.names, self.fed, self.fed + 1), self.tokens, self.hidden)
        self.fed += 1


def of_observe(rows: int, width: int, rounds: int, device: torch.device) -> str:
    decoding = Decoding(rows, width, device)
    names = ("changing batch", "steady batch")
    pair = Pair.timed(names, decoding.changing, decoding.steady, rounds, device)
    return f"{rows} rows a step: {pair.line('us a step', 1e6 / STEPS)}"


def of_engine(requests: int, tokens: int, rounds: int, device: torch.device) -> str:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    import verl  # noqa: F401  # loads the plugin, and with it what the CPU platform mends in vLLM
    from vllm import SamplingParams

    from care_verl.data.embedded.model import save_model
    from tests.rollout.engine import Ask, harvesting_engine

    # vLLM's attention on Hopper knows no fp32.
    options = {} if device.type == "cpu" else {"dtype": "bfloat16", "enforce_eager": False}
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), seed=0)
        with harvesting_engine(
            Path(folder), {}, max_model_len=tokens + 16, max_num_seqs=requests, **options
        ) as engine:

            def decode(tagged: bool) -> None:
                sampling = SamplingParams(max_tokens=tokens, ignore_eos=True, temperature=1.0)
                prompts = [[65 + index % 8] * 8 for index in range(requests)]
                engine.answer(
                    [
                        Ask({"prompt_token_ids": ids}, sampling.clone(), True, tagged)
                        for ids in prompts
                    ]
                )

            names = ("with the harvest", "without")
            pair = Pair.timed(names, lambda: decode(True), lambda: decode(False), rounds, device)
    rates = [requests * tokens / float(side.mean()) for side in (pair.first, pair.second)]
    return (
        f"{requests} requests of {tokens} tokens: {pair.line('s')}; "
        f"{rates[0]:.0f} and {rates[1]:.0f} tokens/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--width", type=int, default=3584)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--engine", action="store_true", help="decode with vLLM")
    parser.add_argument("--requests", type=int, default=64, help="with --engine")
    parser.add_argument("--tokens", type=int, default=100, help="with --engine: of a response")
    parser.add_argument("--device", help="cuda or cpu")
    wanted = parser.parse_args()
    device = chosen_device(wanted.device)
    print(f"on {machine(device)}")
    if wanted.engine:
        print(of_engine(wanted.requests, wanted.tokens, wanted.rounds, device))
        return
    for rows in wanted.rows:
        print(of_observe(rows, wanted.width, wanted.rounds, device), flush=True)


if __name__ == "__main__":
    main()
