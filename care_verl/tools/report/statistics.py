"""Means with 95 % confidence intervals, least squares, correlation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_Z = 1.959963984540054
_T = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)
"""97.5 % quantiles of Student's t for 1 to 30 degrees of freedom."""


def t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t; beyond the table three terms of its expansion in 1/df."""
    if freedom < 1:
        raise ValueError(f"{freedom} degrees of freedom; expected at least 1")
    if freedom <= len(_T):
        return _T[freedom - 1]
    first = (_Z**3 + _Z) / 4
    second = (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / 96
    third = (3 * _Z**7 + 19 * _Z**5 + 17 * _Z**3 - 15 * _Z) / 384
    return _Z + first / freedom + second / freedom**2 + third / freedom**3


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
    return mean, t_quantile(count - 1) * values.std(0, ddof=1) / math.sqrt(count)


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, square = successes / trials, _Z**2
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    spread = math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    half = _Z * spread / (1 + square / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


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
