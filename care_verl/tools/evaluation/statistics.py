"""Means, intervals and paired differences of accuracies. All intervals are of 95 %.

- One model: over questions. Wilson's interval for a share; for means of several samples a question,
  mean ± t·sd/√n.
- Several seeds: over their accuracies, mean ± t·sd/√n with Student's t of n - 1 degrees of freedom.
  (Section 8.2 of the paper has 1.96 in the place of t; for its five seeds t is 2.78.)
- A difference: over questions, each with itself, mean ± t·sd/√n of the per-question differences.
- A macro average: the unweighted mean over benchmarks (Section 8.3), whose questions are drawn
  independently: half width √(Σ half²)/B, of the benchmarks' own half widths. Over seeds it is the
  seeds' own macro averages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from care_verl.tools.statistics import estimate, wilson

Z = 1.96


@dataclass(frozen=True)
class Interval:
    """A mean in [0, 1] or a difference in [-1, 1]; its 95 % interval; how many it is over.

    error: standard error of the mean; of a share, half of Wilson's width over 1.96. `low`, `high`
    and `error` are NaN over a single value.
    """

    mean: float
    low: float
    high: float
    error: float
    count: int

    @property
    def half(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Difference:
    """A paired difference, and for how many questions it is above and below zero."""

    interval: Interval
    better: int
    worse: int


def share(verdicts: Sequence[float]) -> Interval:
    """The share of ones among verdicts of 0 or 1, with Wilson's interval."""
    right, count = float(np.sum(verdicts)), len(verdicts)
    if not count:
        raise ValueError("no verdicts; expected at least one")
    mean = right / count
    low, high = wilson(int(right), count)
    # Not √(p(1-p)/n), which is 0 where all verdicts are equal, however few they are.
    return Interval(mean, low, high, (high - low) / (2 * Z), count)


def mean_of(values: Sequence[float]) -> Interval:
    """The mean of any values, with Student's interval."""
    found = estimate(np.asarray(values, dtype=float))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Interval(
        found.mean, found.mean - found.half, found.mean + found.half, error, len(values)
    )


def paired(before: Mapping[str, float], after: Mapping[str, float]) -> Difference:
    """`after` less `before`, question by question.

    Raises ValueError when the two did not answer the same questions.
    """
    if before.keys() != after.keys():
        only = sorted(before.keys() ^ after.keys())
        raise ValueError(
            f"{len(only)} questions were answered by one side only ({', '.join(only[:3])}); "
            "expected the same questions on both"
        )
    differences = [after[question] - before[question] for question in before]
    better, worse = sum(one > 0 for one in differences), sum(one < 0 for one in differences)
    return Difference(mean_of(differences), better, worse)


def over_benchmarks(parts: Sequence[Interval]) -> Interval:
    """The macro average of accuracies or differences that rest on different questions."""
    mean = float(np.mean([part.mean for part in parts]))
    error = math.sqrt(sum(part.error**2 for part in parts)) / len(parts)
    half = Z * error
    return Interval(mean, mean - half, mean + half, error, len(parts))
