"""Means of series over seeds, against steps and against decoded tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from care_verl.tools.report.series import Series
from care_verl.tools.statistics import Floats, mean_and_half


def binned(series: Series, width: int) -> Series:
    """Means over `width` steps each, at the middle step; step 0, before training, stays alone."""
    if width == 1 or not series:
        return series
    bins, place = np.unique(-(-series.steps // width), return_inverse=True)
    middle = np.maximum(0, (bins - 1) * width + (width + 1) // 2)
    means = np.bincount(place, series.values) / np.bincount(place)
    return Series(np.minimum(middle, series.steps[-1]), means)


@dataclass(frozen=True)
class Band:
    """Mean over seeds [T] at x [T]; `half` is half the width of the 95 % interval, or NaN."""

    x: Floats
    mean: Floats
    half: Floats
    seeds: int


def over_steps(series: Sequence[Series]) -> Band | None:
    """Mean over seeds at the steps that all of them have; None where there is no such step."""
    if not all(series):
        return None
    steps = series[0].steps
    for one in series[1:]:
        steps = np.intersect1d(steps, one.steps)
    if not len(steps):
        return None
    values = np.stack([one.values[np.isin(one.steps, steps)] for one in series])
    mean, half = mean_and_half(values)
    return Band(steps.astype(float), mean, half, len(series))


def over_tokens(series: Sequence[Series], tokens: Sequence[Series]) -> Band | None:
    """Mean over seeds at equal numbers of decoded tokens.

    One seed keeps its own points. Several are interpolated, within the range that all of them
    cover, at as many evenly spaced points as the shortest has.
    """
    if not all(series) or not all(tokens):
        return None
    pairs = [
        (_tokens_at(one.steps, spent), one.values)
        for one, spent in zip(series, tokens, strict=True)
    ]
    if len(pairs) == 1:
        x, mean = pairs[0]
        return Band(x, mean, np.full_like(mean, np.nan), 1)
    low, high = max(x[0] for x, _ in pairs), min(x[-1] for x, _ in pairs)
    if low > high:
        return None
    grid = np.linspace(low, high, min(len(x) for x, _ in pairs))
    mean, half = mean_and_half(np.stack([np.interp(grid, x, y) for x, y in pairs]))
    return Band(grid, mean, half, len(pairs))


def _tokens_at(steps: npt.NDArray[np.int64], tokens: Series) -> Floats:
    """Tokens spent when a step is over; none at step 0, the validation before training."""
    return np.interp(steps, [0, *tokens.steps], [0.0, *tokens.values])
