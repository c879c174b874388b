"""Means with 95 % confidence intervals, least squares, correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` values; `half` is half the width of its 95 % interval, NaN for one."""

    mean: float
    half: float
    count: int


def estimate(values: Floats) -> Estimate:
    """Mean and interval by Student's t. Raises ValueError without any value."""
    mean, half = mean_and_half(np.asarray(values, dtype=float)[:, None])
    return Estimate(float(mean[0]), float(half[0]), len(values))


def mean_and_half(values: Floats) -> tuple[Floats, Floats]:
    """Over the first axis of [N, T]: means [T] and half widths [T]; the latter NaN for N = 1."""
    count = len(values)
    if not count:
        raise ValueError("no values; expected at least one")
    mean = values.mean(0)
    if count == 1:
        return mean, np.full_like(mean, np.nan)
    from scipy.stats import sem, t

    return mean, t.ppf(0.975, count - 1) * sem(values, 0)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    Raises ValueError unless 0 <= successes <= trials and trials > 0.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(
            f"{successes} of {trials}: expected 0 <= successes <= trials and trials > 0"
        )
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Fit:
    """y = intercept + slope x by least squares; r2 is None where y has no spread."""

    slope: float
    intercept: float
    r2: float | None


def least_squares(x: Floats, y: Floats) -> Fit | None:
    """The fit, or None where x has fewer than two values to tell apart."""
    if len(x) < 2 or np.ptp(x) == 0:
        return None
    slope = float(np.mean((x - x.mean()) * (y - y.mean())) / np.var(x))
    intercept = float(y.mean() - slope * x.mean())
    spread = float(np.var(y))
    rest = float(np.mean((y - intercept - slope * x) ** 2))
    return Fit(slope, intercept, 1 - rest / spread if spread > 0 else None)


def pearson(x: Floats, y: Floats, no_spread: float) -> float | None:
    """Pearson's r of y with x; None where x has a standard deviation of `no_spread` or less, and 0
    where y alone has."""
    if np.std(x) <= no_spread:
        return None
    if np.std(y) <= no_spread:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
