"""Within-subgroup normalisation of rewards (Eqs. 5 to 7), for all groups at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from care_verl.algorithm.config import CareConfig


def normalize(reward: Tensor, member: Tensor, config: CareConfig) -> Tensor:
    """A_raw = (r - mu) / (sigma + eps) over the members of S, 0 elsewhere; float64 [N, C].

    Args:
        reward: float64 [N, C]; member: bool [N, C], the subgroup S of each group.
    """
    centre, scale = NORMALIZATIONS[config.normalization](reward, member, config)
    raw = (reward - centre[:, None]) / (scale[:, None] + config.eps)
    return raw.masked_fill(~member, 0.0)


def _zscore(reward: Tensor, member: Tensor, config: CareConfig) -> tuple[Tensor, Tensor]:
    """Eqs. 5 to 7: mean and population deviation over the |S| members."""
    count = _count(member)
    centre = _mean(reward, member, count)
    return centre, _deviation(reward, member, count, centre)


def _robust(reward: Tensor, member: Tensor, config: CareConfig) -> tuple[Tensor, Tensor]:
    """Section 3.4: trimmed mean and median absolute deviation.

    The mean is over the members left when floor(trim * |S|) are cut from each end, the deviation
    from the members' median. **Settled**: where that deviation is not above eps, as with one
    positive among several equal failures, the population deviation about the trimmed mean takes
    its place; dividing by eps alone would make the update explode.
    """
    count = _count(member)
    centre = _trimmed_mean(reward, member, count, config.trim)
    spread = (reward - _median(reward, member, count)[:, None]).abs()
    scale = _median(spread, member, count)
    fallback = _deviation(reward, member, count, centre)
    return centre, torch.where(scale > config.eps, scale, fallback)


Normalization = Callable[[Tensor, Tensor, "CareConfig"], tuple[Tensor, Tensor]]
"""Centre mu [N] and scale sigma [N] of the members' rewards, both [N, C]."""

NORMALIZATIONS: dict[str, Normalization] = {"zscore": _zscore, "robust": _robust}
"""By what `algorithm.care.normalization` may say."""


def _count(member: Tensor) -> Tensor:
    return member.sum(1).clamp(min=1)


def _mean(values: Tensor, member: Tensor, count: Tensor) -> Tensor:
    return values.masked_fill(~member, 0.0).sum(1) / count


def _deviation(values: Tensor, member: Tensor, count: Tensor, centre: Tensor) -> Tensor:
    return _mean((values - centre[:, None]) ** 2, member, count).sqrt()


def _trimmed_mean(values: Tensor, member: Tensor, count: Tensor, trim: float) -> Tensor:
    ascending = values.masked_fill(~member, torch.inf).sort(1).values
    cut = (trim * count.double()).long()[:, None]
    place = torch.arange(values.shape[1], device=values.device)
    kept = (place >= cut) & (place < count[:, None] - cut)
    return _mean(ascending, kept, kept.sum(1).clamp(min=1))


def _median(values: Tensor, member: Tensor, count: Tensor) -> Tensor:
    """Median over the members; the mean of the two middle values where their number is even."""
    ascending = values.masked_fill(~member, torch.inf).sort(1).values
    low = ascending.gather(1, ((count - 1) // 2)[:, None])
    high = ascending.gather(1, (count // 2)[:, None])
    # A group without members has no finite middle, and its value is never read.
    return ((low + high) / 2).squeeze(1)
