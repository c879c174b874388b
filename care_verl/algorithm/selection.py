"""Anchors and hard negatives (Sections 3.2, 3.3 and 3.7), for all groups at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from care_verl.algorithm.config import CareConfig
from care_verl.algorithm.draws import uniform_draws
from care_verl.algorithm.groups import Groups, Rollouts
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
    table = d_cos[groups.rows]
    if config.selector == "nearest":
        negatives = _spread_nearest(rollouts, groups, candidates, table, k_prime, config)
    else:
        negatives = _first_by_score(groups, candidates, table, k_prime, config)
    return Selection(kind, anchor, negatives, k_prime, d_cos)


def _check_logp(rollouts: Rollouts, groups: Groups, needed: Tensor) -> None:
    if not torch.isfinite(rollouts.logp_old[groups.rows][needed]).all():
        raise ValueError(
            "logp_old holds NaN or infinity in an all-wrong group; the rescue expects the finite "
            "log-probability of every response there (or algorithm.care.rescue = false)"
        )


def _anchor(rollouts: Rollouts, groups: Groups, positive: Tensor, config: CareConfig) -> Tensor:
    """Eq. 2: the positive with the shortest rationale, then the shorter answer, then row order.

    **Settled**: an answer without reasoning is no anchor while a reasoned one exists. Its rationale
    is the shortest there is, so it would take the place in every group that has one; its zero
    embedding is equally far from every failure, and its length would teach not to reason.
    """
    reasoned = positive & rollouts.reasoned[groups.rows]
    positive = torch.where(reasoned.any(1, keepdim=True), reasoned, positive)
    if config.anchor == "random":
        draws = uniform_draws(groups.uids, positive.shape[1], config.seed, "anchor")
        return draws.to(positive.device).masked_fill(~positive, 2.0).argmin(1)
    best = positive
    for length in (rollouts.think_len, rollouts.answer_len):
        table = length[groups.rows].masked_fill(~best, torch.iinfo(torch.int64).max)
        best = best & (table == table.amin(1, keepdim=True))
    return best.long().argmax(1)


def _distance_to_anchor(rollouts: Rollouts, groups: Groups, anchor: Tensor) -> Tensor:
    """Eq. 4, [B]. Rows that are bitwise equal get bitwise equal distances, so ties stay ties."""
    anchor_row = groups.rows.gather(1, anchor[:, None]).squeeze(1)[groups.of_row]
    return 1 - (rollouts.embedding * rollouts.embedding[anchor_row]).sum(1)


def _spread_nearest(
    rollouts: Rollouts,
    groups: Groups,
    candidates: Tensor,
    d_cos: Tensor,
    k_prime: Tensor,
    config: CareConfig,
) -> Tensor:
    """Section 3.3: the max(M, K') nearest failures, thinned to K' by a farthest-first pass.

    **Settled**: the pass starts from the nearest failure and adds, each time, the one whose
    smallest distance to those chosen is largest; ties go to the nearer to the anchor, then to
    row order. So the nearest failure is always kept.
    """
    order = d_cos.masked_fill(~candidates, torch.inf).argsort(dim=1, stable=True)
    place = torch.arange(order.shape[1], device=order.device)
    pool_size = torch.minimum(candidates.sum(1), k_prime.clamp(min=config.M))
    chosen = place < k_prime[:, None]
    # More than K' failures to choose from: K' = K in all of these groups.
    crowded = (pool_size > k_prime).nonzero().flatten()
    if len(crowded):
        pool = order[crowded, : int(pool_size.max())]
        chosen[crowded] = False
        chosen[crowded, : pool.shape[1]] = _farthest_first(
            rollouts.embedding[groups.rows[crowded].gather(1, pool)],
            place[: pool.shape[1]] < pool_size[crowded, None],
            config.K,
        )
    return torch.zeros_like(candidates).scatter(1, order, chosen)


def _farthest_first(pool: Tensor, available: Tensor, count: int) -> Tensor:
    """The `count` chosen of each pool, bool [n, P]; `pool` [n, P, H] has the nearest first."""
    chosen = torch.zeros_like(available)
    chosen[:, 0] = True
    group = torch.arange(len(pool), device=pool.device)
    nearest_chosen = torch.full(available.shape, torch.inf, dtype=pool.dtype, device=pool.device)
    newest = torch.zeros_like(group)
    for _ in range(count - 1):
        to_newest = 1 - (pool * pool[group, newest][:, None]).sum(2)
        nearest_chosen = torch.minimum(nearest_chosen, to_newest)
        newest = nearest_chosen.masked_fill(chosen | ~available, -torch.inf).argmax(1)
        chosen[group, newest] = True
    return chosen


def _first_by_score(
    groups: Groups, candidates: Tensor, d_cos: Tensor, k_prime: Tensor, config: CareConfig
) -> Tensor:
    """The selectors of Figure 5 that `nearest` is compared with; ties go to row order.

    **Settled**: `mixed` takes the ceil(K'/2) nearest and the floor(K'/2) farthest failures, and
    none of these selectors preselects or thins.
    """
    if config.selector == "farthest":
        return _lowest(-d_cos, candidates, k_prime)
    if config.selector == "random":
        draws = uniform_draws(groups.uids, candidates.shape[1], config.seed, "negatives")
        return _lowest(draws.to(d_cos.device), candidates, k_prime)
    near = _lowest(d_cos, candidates, (k_prime + 1) // 2)
    return near | _lowest(-d_cos, candidates & ~near, k_prime // 2)


def _lowest(score: Tensor, candidates: Tensor, count: Tensor) -> Tensor:
    """The `count` candidates of lowest score in each row: bool, the shape of `candidates`."""
    order = score.masked_fill(~candidates, torch.inf).argsort(dim=1, stable=True)
    place = torch.arange(order.shape[1], device=order.device)
    return torch.zeros_like(candidates).scatter(1, order, place < count[:, None])
