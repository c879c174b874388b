"""Which positive of a group is its anchor (Eq. 2, Figure 11), for all groups at once.

A choice is a function in `ANCHORS`; its key is the value of `algorithm.care.anchor`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from care_verl.algorithm.draws import uniform_draws


@dataclass(frozen=True)
class Positives:
    """The positives of N groups of at most W originals, to choose from.

    candidates: bool [N, W + 1], the last column of no original. think_len, answer_len: int64
    [N, W + 1], tokens. uids: the groups' names. seed: of random choices.
    """

    candidates: Tensor
    think_len: Tensor
    answer_len: Tensor
    uids: Sequence[Hashable]
    seed: int


AnchorChoice = Callable[[Positives], Tensor]
"""Returns the anchor's place in each group, int64 [N]; any place where there is no candidate."""


def shortest(positives: Positives) -> Tensor:
    """Eq. 2: the shortest rationale, then the shorter answer, then row order."""
    best = positives.candidates
    for length in (positives.think_len, positives.answer_len):
        table = length.masked_fill(~best, torch.iinfo(torch.int64).max)
        best = best & (table == table.amin(1, keepdim=True))
    return best.long().argmax(1)


def random(positives: Positives) -> Tensor:
    """One by chance, the same in every process."""
    candidates = positives.candidates
    draws = uniform_draws(positives.uids, candidates.shape[1], positives.seed, "anchor")
    return draws.to(candidates.device).masked_fill(~candidates, 2.0).argmin(1)


ANCHORS: dict[str, AnchorChoice] = {"shortest": shortest, "random": random}
"""By `algorithm.care.anchor`."""
