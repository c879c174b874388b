"""Intervals and fits against scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from care_verl.tools.statistics import (
    estimate,
    least_squares,
    mean_and_half,
    pearson,
    wilson,
)


def test_mean_and_interval_by_hand() -> None:
    """1, 2, 3: mean 2, deviation 1, half width 4.302653 / sqrt(3)."""
    found = estimate(np.array([1.0, 2.0, 3.0]))
    assert (found.mean, found.count) == (2.0, 3)
    assert found.half == pytest.approx(4.302653 / 3**0.5)


def test_one_value_has_no_interval() -> None:
    mean, half = mean_and_half(np.array([[3.0, 4.0]]))
    assert mean.tolist() == [3.0, 4.0]
    assert np.isnan(half).all()


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (3, 10), (10, 10), (700, 1000)])
def test_wilson(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_least_squares() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=20)
    y = 2 * x + rng.normal(size=20)
    fit = least_squares(x, y)
    assert fit is not None
    assert (fit.slope, fit.intercept) == pytest.approx(tuple(np.polyfit(x, y, 1)))
    assert fit.r2 == pytest.approx(stats.pearsonr(x, y).statistic ** 2)
    assert least_squares(np.ones(3), np.arange(3.0)) is None


def test_pearson_is_left_open_where_it_would_be_of_rounding() -> None:
    x = np.array([1.0, 2.0, 4.0])
    assert pearson(x, 3 - 2 * x, 1e-6) == pytest.approx(-1.0)
    assert pearson(1 + 1e-9 * x, x, 1e-6) is None
    assert pearson(x, 1 + 1e-9 * x, 1e-6) == 0.0
