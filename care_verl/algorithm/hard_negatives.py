"""Which failures of a group are its hard negatives (Section 3.3, Figure 5), for all groups at once.

A selector is a function in `SELECTORS`; its key is the value of `algorithm.care.selector`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from care_verl.algorithm.draws import uniform_draws


@dataclass(frozen=True)
class Failures:
    """The failures of N groups of at most W originals, to choose from.

    candidates: bool [N, W + 1], the last column of no original. d_cos: float64 [N, W + 1], cosine
    distances to the group's anchor. embedding: float64 [B, H], L2-normalised. rows: int64
    [N, W + 1], the row of each place. uids: the groups' names. count: int64 [N], K', how many to
    choose. K, M: the settings. seed: of random choices.
    """

    candidates: Tensor
    d_cos: Tensor
    embedding: Tensor
    rows: Tensor
    uids: Sequence[Hashable]
    count: Tensor
    K: int
    M: int
    seed: int


Selector = Callable[[Failures], Tensor]
"""Returns the chosen places, bool [N, W + 1]: `count` of each group's candidates."""


def nearest(failures: Failures) -> Tensor:
    """The max(M, K') nearest failures, thinned to K' by a farthest-first pass.

    **Settled**: the pass starts from the nearest failure and adds, each time, the one whose
    smallest distance to those chosen is largest; ties go to the nearer to the anchor, then to
    row order. So the nearest failure is always kept.
    """
    candidates, count = failures.candidates, failures.count
    order = failures.d_cos.masked_fill(~candidates, torch.inf).argsort(dim=1, stable=True)
    place = torch.arange(order.shape[1], device=order.device)
    pool_size = torch.minimum(candidates.sum(1), count.clamp(min=failures.M))
    chosen = place < count[:, None]
    # More than K' failures to choose from: K' = K in all of these groups.
    crowded = (pool_size > count).nonzero().flatten()
    if len(crowded):
        pool = order[crowded, : int(pool_size.max())]
        chosen[crowded] = False
        chosen[crowded, : pool.shape[1]] = _farthest_first(
            failures.embedding[failures.rows[crowded].gather(1, pool)],
            place[: pool.shape[1]] < pool_size[crowded, None],
            failures.K,
        )
    return torch.zeros_like(candidates).scatter(1, order, chosen)


def mixed(failures: Failures) -> Tensor:
    """The ceil(K'/2) nearest and the floor(K'/2) farthest failures; ties go to row order.

    **Settled**: none of the selectors that `nearest` is compared with preselects or thins.
    """
    near = lowest(failures.d_cos, failures.candidates, (failures.count + 1) // 2)
    rest = failures.candidates & ~near
    return near | lowest(-failures.d_cos, rest, failures.count // 2)


def farthest(failures: Failures) -> Tensor:
    """The K' farthest failures; ties go to row order."""
    return lowest(-failures.d_cos, failures.candidates, failures.count)


def random(failures: Failures) -> Tensor:
    """K' failures by chance, the same ones in every process."""
    draws = uniform_draws(
        failures.uids, failures.candidates.shape[1], failures.seed, "negatives"
    ).to(failures.d_cos.device)
    return lowest(draws, failures.candidates, failures.count)


SELECTORS: dict[str, Selector] = {
    "nearest": nearest,
    "mixed": mixed,
    "farthest": farthest,
    "random": random,
}
"""By `algorithm.care.selector`; a package may add its own."""


def lowest(score: Tensor, candidates: Tensor, count: Tensor) -> Tensor:
    """The `count` [N] candidates of lowest score in each group: bool, the shape of `candidates`."""
    order = score.masked_fill(~candidates, torch.inf).argsort(dim=1, stable=True)
    place = torch.arange(order.shape[1], device=order.device)
    return torch.zeros_like(candidates).scatter(1, order, place < count[:, None])


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
