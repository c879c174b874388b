"""The plan of one group, for the moment when its rollouts are scored and nothing else is known."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from care_verl.algorithm.config import CareConfig
from care_verl.algorithm.groups import ORIGINAL, Groups, Rollouts
from care_verl.algorithm.selection import KINDS, MIXED, select


@dataclass(frozen=True)
class GroupPlan:
    """Anchor, hard negatives and reflection source of one group, as row indices.

    kind: `mixed`, `all_wrong` or `all_right`.
    anchor: the anchor; None in an all-wrong group, whose pseudo-anchor needs log-probabilities.
    negatives: the hard negatives of a mixed group, nearest first.
    source: the hard negative to reflect on; None where RGR does not trigger.
    """

    kind: str
    anchor: int | None
    negatives: list[int]
    source: int | None


def plan_group(
    acc: Tensor,
    think_len: Tensor,
    answer_len: Tensor,
    embedding: Tensor,
    uid: Hashable,
    config: CareConfig,
    reasoned: Tensor | None = None,
) -> GroupPlan:
    """Plans a group of G originals with the same code that later selects its subgroup.

    RGR triggers where the group has a positive and at least one failure (Section 3.6).
    **Settled**: the hardest negative, the one to reflect on, is the nearest of those selected.
    Give the rows in the order they will have in the batch: ties go to row order.

    Args:
        acc: [G]; think_len, answer_len: integer [G]; embedding: [G, H], L2-normalised.
        reasoned: bool [G], as of `care_advantages`.
        uid: the group's name, which seeds the random anchor and selector.

    Raises:
        ValueError: as `care_advantages` does.
    """
    rollouts = Rollouts.checked(
        reward=acc,
        acc=acc,
        uid=[uid] * len(acc),
        think_len=think_len,
        answer_len=answer_len,
        embedding=embedding,
        logp_old=torch.zeros_like(acc),
        reflected_from=torch.full_like(think_len, ORIGINAL),
        reasoned=reasoned,
    )
    selection = select(rollouts, Groups.of(rollouts), config)
    kind = int(selection.kind[0])
    # With one group and no reflection, a column is a row.
    anchor = None if KINDS[kind] == "all_wrong" else int(selection.anchor[0])
    if kind != MIXED:
        return GroupPlan(KINDS[kind], anchor, [], None)
    chosen = selection.negatives[0].nonzero().flatten()
    nearest_first = chosen[selection.d_cos[chosen].argsort(stable=True)].tolist()
    return GroupPlan(KINDS[kind], anchor, nearest_first, nearest_first[0])
