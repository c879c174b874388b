"""How far two engines' log-probabilities of the same decoded tokens are apart.

The rollout engine samples a token under some context; the actor scores it again under the context
that is trained on. In exact arithmetic both numbers are equal, and the first ratio of an update is
1. A distance beyond rounding means other weights, another context or another distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ScoredRow:
    """One row under both engines: `sampled` and `scored` are log-probabilities [T].

    mask: [T], nonzero on decoded tokens; a reflection's copied prefix and cue have 0.
    kinds: the names under which the row's tokens are counted.
    """

    sampled: Tensor
    scored: Tensor
    mask: Tensor
    kinds: tuple[str, ...]

    @property
    def gaps(self) -> Tensor:
        """[T]: |sampled - scored|, 0 where masked, infinite where one is NaN."""
        gap = (self.sampled.double() - self.scored.double()).abs()
        return gap.nan_to_num(nan=math.inf, posinf=math.inf).masked_fill(self.mask == 0, 0.0)

    @property
    def sum_gap(self) -> float:
        """|sum over the decoded tokens of (sampled - scored)|."""
        difference = (self.sampled.double() - self.scored.double()).masked_fill(self.mask == 0, 0.0)
        return float(difference.sum().abs().nan_to_num(nan=math.inf, posinf=math.inf))


def parity_metrics(rows: Sequence[ScoredRow]) -> dict[str, float]:
    """Distances in natural units of log-probability.

    - `tokens`: decoded tokens compared, over all rows.
    - `{kind}_max`, `{kind}_mean`: largest and mean gap over all decoded tokens of the rows of that
      kind; left out for a kind without any.
    - `row_sum_max`: largest gap between a row's two sums over its decoded tokens, over rows.
    """
    metrics = {"tokens": float(sum(int((row.mask != 0).sum()) for row in rows))}
    if not metrics["tokens"]:
        return metrics
    for kind in sorted({kind for row in rows for kind in row.kinds}):
        gaps = torch.cat([row.gaps[row.mask != 0] for row in rows if kind in row.kinds])
        if len(gaps):
            metrics |= {f"{kind}_max": float(gaps.max()), f"{kind}_mean": float(gaps.mean())}
    return metrics | {"row_sum_max": max(row.sum_gap for row in rows)}


def worst_token(rows: Sequence[ScoredRow]) -> tuple[int, int]:
    """Index of the row and place in its response of the largest gap; rows must not be empty."""
    row = max(range(len(rows)), key=lambda i: float(rows[i].gaps.max()))
    return row, int(rows[row].gaps.argmax())


def ratio_deviation(log_prob: Tensor, old_log_prob: Tensor, mask: Tensor) -> Tensor:
    """max |rho - 1| over the tokens of mask, a scalar; 0 without any. All are [B, T].

    Before the first step of an update it is rounding alone.
    """
    gap = (log_prob.detach().double() - old_log_prob.double()).masked_fill(mask == 0, 0.0)
    return gap.expm1().abs().max() if gap.numel() else gap.new_zeros(())
