"""What CARE's advantages of a batch cost, against verl's GRPO on the same rewards, in turn.

    python -m tests.benchmarks.advantage_cost --groups 4096 --rows 9 --width 3584

Needs verl beside the package; a card is taken where there is one. Rows are random: half of them
right, embeddings of length one. In a run both are computed on the trainer's CPU, once a step.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

from care_verl.algorithm import CareConfig, care_advantages
from care_verl.algorithm.advantage import CareAdvantages
from tests.benchmarks.paired import Pair, chosen_device, machine


class Batch:
    """Random rows on a device, as either estimator takes them."""

    def __init__(self, groups: int, rows: int, width: int, tokens: int, device: torch.device):
        generator = torch.Generator().manual_seed(0)
        total = groups * rows
        self.uid = [f"g{row // rows}" for row in range(total)]
        self.index = np.array(self.uid, dtype=object)
        acc = (torch.rand(total, generator=generator) < 0.5).float()
        lengths = torch.randint(1, tokens + 1, (2, total), generator=generator)
        embedding = torch.randn(total, width, generator=generator)
        self.acc = acc.to(device)
        self.lengths = lengths.to(device)
        self.embedding = torch.nn.functional.normalize(embedding, dim=1).to(device)
        self.logp = -torch.rand(total, generator=generator).to(device)
        self.sources = torch.full((total,), -1, device=device)
        self.mask = torch.ones(total, tokens, device=device)
        self.rewards = torch.zeros(total, tokens, device=device)
        self.rewards[:, -1] = self.acc

    def care(self) -> CareAdvantages:
        think, answer = self.lengths
        return care_advantages(
            self.acc,
            self.acc,
            self.uid,
            think,
            answer,
            self.embedding,
            self.logp,
            self.sources,
            CareConfig(),
        )

    def grpo(self) -> tuple[torch.Tensor, torch.Tensor]:
        found: tuple[torch.Tensor, torch.Tensor] = compute_grpo_outcome_advantage(
            self.rewards, self.mask, self.index
        )
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=512)
    parser.add_argument("--rows", type=int, default=9, help="of a group")
    parser.add_argument("--width", type=int, default=3584, help="of an embedding")
    parser.add_argument("--tokens", type=int, default=512, help="of a response")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", help="cuda or cpu")
    wanted = parser.parse_args()
    device = chosen_device(wanted.device)
    batch = Batch(wanted.groups, wanted.rows, wanted.width, wanted.tokens, device)
    pair = Pair.timed(("CARE", "GRPO"), batch.care, batch.grpo, wanted.rounds, device)
    print(f"{wanted.groups} groups of {wanted.rows}, width {wanted.width}, on {machine(device)}")
    print(pair.line("s"))


if __name__ == "__main__":
    main()
