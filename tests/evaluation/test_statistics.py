"""Intervals and paired differences, by hand and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from care_verl.tools.evaluation.statistics import mean_of, over_benchmarks, paired, share

from .samples import line


def test_share_by_hand() -> None:
    """3 of 4. Wilson: centre (0.75 + 1.9208/4)/(1 + 3.8416/4) = 0.6275, half 0.3269."""
    found = share([1.0, 1.0, 1.0, 0.0])
    assert (found.mean, found.count) == (0.75, 4)
    assert (found.low, found.high) == pytest.approx((0.3006, 0.9544), abs=1e-4)
    assert found.error == pytest.approx(0.3269 / 1.96, abs=1e-4)


def test_seeds_have_students_interval() -> None:
    values = [0.4, 0.45, 0.43, 0.5, 0.47]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    found = mean_of(values)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-5)


def test_one_seed_has_none() -> None:
    assert math.isnan(mean_of([0.5]).low)


def test_paired_by_hand() -> None:
    """Differences 1, 0, 0, -1, 1: mean 0.2, sd √0.7, t(4) = 2.7764; half 1.0388."""
    before = dict(zip("abcde", [0.0, 1.0, 0.0, 1.0, 0.0], strict=True))
    after = dict(zip("abcde", [1.0, 1.0, 0.0, 0.0, 1.0], strict=True))
    found = paired(before, after)
    assert (found.better, found.worse) == (2, 1)
    assert found.interval.mean == pytest.approx(0.2)
    assert found.interval.half == pytest.approx(2.7764 * math.sqrt(0.7 / 5), abs=1e-4)
    differences = [after[q] - before[q] for q in before]
    low, high = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=1e-4)


def test_pairing_uses_the_questions_names_not_their_order() -> None:
    found = paired({"a": 1.0, "b": 0.0}, {"b": 0.0, "a": 1.0})
    assert (found.interval.mean, found.better, found.worse) == (0.0, 0, 0)


def test_other_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="1 questions were answered by one side only \\(c\\)"):
        paired({"a": 1.0}, {"a": 1.0, "c": 0.0})


def test_macro_of_two_benchmarks_by_hand() -> None:
    """0.75 of 4 and 0.5 of 2: mean 0.625; Wilson's half widths 0.3269 and 0.4055; half of √(Σ²)."""
    found = line("x", {"mathvista": [1, 1, 1, 0], "mmmu": [1, 0]}).macro()
    assert found is not None
    assert found.mean == pytest.approx(0.625)
    assert found.half == pytest.approx(math.hypot(0.3269, 0.4055) / 2, abs=1e-4)


def test_a_few_equal_verdicts_are_no_certainty() -> None:
    macro = line("x", {"mathvista": [0, 0], "mmmu": [0, 0]}).macro()
    assert macro is not None
    assert macro.high > 0.2


def test_macro_is_not_weighted_by_questions() -> None:
    parts = [share([1.0] * 99 + [0.0]), share([0.0, 0.0])]
    assert over_benchmarks(parts).mean == pytest.approx(0.495)


def test_macro_over_seeds_is_of_their_own_macros() -> None:
    """Seeds at 0.75 and 0.25 in the macro average: mean 0.5, half t(1)·sd/√2 = 12.7062/4."""
    found = line(
        "x", {"mathvista": [1, 0], "mmmu": [1, 1]}, {"mathvista": [0, 0], "mmmu": [1, 0]}
    ).macro()
    assert found is not None
    assert found.mean == pytest.approx(0.5)
    assert found.half == pytest.approx(12.7062 * 0.25, abs=1e-3)
