"""Anchors and hard negatives (Sections 3.2, 3.3 and 3.7), for all groups at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from care_verl.algorithm.anchors import ANCHORS, Positives
from care_verl.algorithm.config import CareConfig
from care_verl.algorithm.groups import Groups, Rollouts
from care_verl.algorithm.hard_negatives import SELECTORS, Failures
from care_verl.algorithm.reward import is_positive

KINDS = ("mixed", "all_wrong", "all_right")
"""Names of the group kinds; their positions are the codes in `Selection.kind`."""
MIXED, ALL_WRONG, ALL_RIGHT = range(3)


def kind_of(right: Sequence[bool]) -> str:
    """The kind of one group, of whose originals it is said which are right."""
    if not any(right):
        return KINDS[ALL_WRONG]
    return KINDS[ALL_RIGHT if all(right) else MIXED]


@dataclass(frozen=True)
class Selection:
    """Subgroups before any reflection.

    kind: int64 [N], position in `KINDS`, by the accuracy of the originals alone.
    anchor: int64 [N], column of the anchor; of the pseudo-anchor in an all-wrong group.
    negatives: bool [N, W + 1], the hard negatives; none where the group is skipped.
    k_prime: int64 [N], K', how many those are.
    d_cos: float64 [B], cosine distance of each row to its group's anchor.
    """

    kind: Tensor
    anchor: Tensor
    negatives: Tensor
    k_prime: Tensor
    d_cos: Tensor


def select(rollouts: Rollouts, groups: Groups, config: CareConfig) -> Selection:
    """Anchor and hard negatives of every group, from its originals.

    K' = min(K, failures) (Eq. 3); in an all-wrong group K' = min(K, failures - 1).
    **Settled**: the rescue draws its negatives without the pseudo-anchor. K' is 0 where all rows
    are right and, with `rescue` off, where all are wrong. A row's embedding is used as given:
    d_cos = 1 - h_i . h_a (Eq. 4) in float64, with L2-normalised rows and no gradient.

    Raises:
        ValueError: the rescue needs a log-probability that is not finite.
    """
    positive = is_positive(rollouts.acc)[groups.rows] & groups.valid
    positive[:, -1] = False
    original = groups.valid.clone()
    original[:, -1] = False
    failed = original & ~positive
    kind = torch.where(positive.any(1), MIXED, ALL_WRONG)
    kind = torch.where(failed.any(1), kind, ALL_RIGHT)

    wrong = kind == ALL_WRONG
    if config.rescue:
        _check_logp(rollouts, groups, original & wrong[:, None])
    logp = rollouts.logp_old[groups.rows].masked_fill(~failed, -torch.inf)
    anchor = torch.where(wrong, logp.argmax(1), _anchor(rollouts, groups, positive, config))
    d_cos = _distance_to_anchor(rollouts, groups, anchor)

    candidates = failed.scatter(1, anchor[:, None], False)
    if not config.rescue:
        candidates &= ~wrong[:, None]
    k_prime = candidates.sum(1).clamp(max=config.K)
    failures = Failures(
        candidates=candidates,
        d_cos=d_cos[groups.rows],
        embedding=rollouts.embedding,
        rows=groups.rows,
        uids=groups.uids,
        count=k_prime,
        K=config.K,
        M=config.M,
        seed=config.seed,
    )
    negatives = _chosen(failures, config.selector)
    return Selection(kind, anchor, negatives, k_prime, d_cos)


def _chosen(failures: Failures, selector: str) -> Tensor:
    """What a selector chooses. Raises ValueError for other places or another number."""
    chosen = SELECTORS[selector](failures)
    if chosen.shape != failures.candidates.shape or (chosen & ~failures.candidates).any():
        raise ValueError(
            f"the selector {selector!r} chose places that are no candidates, or returned shape "
            f"{tuple(chosen.shape)}; expected bool {tuple(failures.candidates.shape)}"
        )
    if (chosen.sum(1) != failures.count).any():
        raise ValueError(
            f"the selector {selector!r} chose {chosen.sum(1).tolist()} failures of the groups; "
            f"expected {failures.count.tolist()}"
        )
    return chosen


def _check_logp(rollouts: Rollouts, groups: Groups, needed: Tensor) -> None:
    if not torch.isfinite(rollouts.logp_old[groups.rows][needed]).all():
        raise ValueError(
            "logp_old holds NaN or infinity in an all-wrong group; the rescue expects the finite "
            "log-probability of every response there (or algorithm.care.rescue = false)"
        )


def _anchor(rollouts: Rollouts, groups: Groups, positive: Tensor, config: CareConfig) -> Tensor:
    """Among the positives, by `config.anchor`.

    **Settled**: an answer without reasoning is no anchor while a reasoned one exists. Its rationale
    is the shortest there is, so it would take the place in every group that has one; its zero
    embedding is equally far from every failure, and its length would teach not to reason.
    """
    reasoned = positive & rollouts.reasoned[groups.rows]
    positives = Positives(
        candidates=torch.where(reasoned.any(1, keepdim=True), reasoned, positive),
        think_len=rollouts.think_len[groups.rows],
        answer_len=rollouts.answer_len[groups.rows],
        uids=groups.uids,
        seed=config.seed,
    )
    return ANCHORS[config.anchor](positives)


def _distance_to_anchor(rollouts: Rollouts, groups: Groups, anchor: Tensor) -> Tensor:
    """Eq. 4, [B]. Rows that are bitwise equal get bitwise equal distances, so ties stay ties."""
    anchor_row = groups.rows.gather(1, anchor[:, None]).squeeze(1)[groups.of_row]
    return 1 - (rollouts.embedding * rollouts.embedding[anchor_row]).sum(1)
