"""Does a series grow? A straight line by least squares, with an interval that may be believed.

Neighbouring samples resemble each other, so they are averaged over blocks of steps first, and what
correlation is left between neighbouring blocks widens the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

BLOCK_STEPS = 10
PER_STEPS = 100
FEWEST_BLOCKS = 4


@dataclass(frozen=True)
class Trend:
    """A line through block means: `slope` per 100 steps with its 95 % half width.

    `level` is the mean of the block means, `blocks` their number.
    """

    level: float
    slope: float
    half_width: float
    blocks: int

    def verdict(self, tolerance: float) -> str:
        """`growing`: the whole interval lies above `tolerance`; `flat`: it ends below it.

        Between the two the run was too short, or too noisy, to say.
        """
        if self.slope - self.half_width > tolerance:
            return "growing"
        return "flat" if self.slope + self.half_width <= tolerance else "unclear"


def trend(steps: Sequence[float], values: Sequence[float]) -> Trend | None:
    """The trend of `values` measured at `steps`; None with fewer than four blocks of steps."""
    places, means = block_means(np.asarray(steps, float), np.asarray(values, float))
    if len(places) < FEWEST_BLOCKS:
        return None
    fit = stats.linregress(places, means)
    residuals = means - (fit.intercept + fit.slope * places)
    independent = effective_number(residuals)
    # The slope's error shrinks with the number of independent blocks beyond the two of the line.
    # (linregress's own error takes all blocks for independent, and is NaN for a constant.)
    freedom = independent - 2
    error = np.sqrt(residuals @ residuals / freedom / np.sum((places - places.mean()) ** 2))
    half_width = stats.t.ppf(0.975, freedom) * error
    return Trend(
        level=float(means.mean()),
        slope=float(fit.slope) * PER_STEPS,
        half_width=float(half_width) * PER_STEPS,
        blocks=len(places),
    )


def block_means(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of steps and of values over blocks of ten steps that hold anything."""
    blocks = steps // BLOCK_STEPS
    chosen = [blocks == block for block in np.unique(blocks)]
    return np.array([steps[c].mean() for c in chosen]), np.array([values[c].mean() for c in chosen])


def effective_number(residuals: np.ndarray) -> float:
    """How many independent blocks these are worth, n (1 - r) / (1 + r), at least 3.

    r is the correlation of neighbours, 0 where it is below.
    """
    square = float(residuals @ residuals)
    r = float(residuals[1:] @ residuals[:-1]) / square if square else 0.0
    r = min(max(r, 0.0), 0.9)
    return max(3.0, len(residuals) * (1 - r) / (1 + r))
