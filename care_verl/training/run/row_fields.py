"""What verl's update and metrics read of a row of a method that trains on whole responses."""

from __future__ import annotations

import torch
from torch import Tensor

Fields = dict[str, Tensor]


def row_fields(advantage: float, mask: Tensor, reward: float) -> Fields:
    """The fields of one row of T response tokens.

    `advantages` and `returns` [T]: its advantage where `mask`, [T], is 1. `token_level_rewards`
    [T]: its reward on the last token.
    """
    spread = (advantage * mask.double()).float()
    rewards = torch.zeros(len(mask))
    if len(mask):
        rewards[-1] = reward
    return {"advantages": spread, "returns": spread, "token_level_rewards": rewards}


def padding_fields(length: int) -> Fields:
    """The fields of a padding row of T tokens."""
    return row_fields(0.0, torch.zeros(length), 0.0)
