"""Distances of log-probabilities worked out by hand.

That both engines' numbers belong to the same token is the adapters' business (`tests/training`).
"""

from __future__ import annotations

import math

import pytest
import torch

from care_verl.algorithm.parity import ScoredRow, parity_metrics, ratio_deviation, worst_token

NAN = math.nan


def row(sampled: list[float], scored: list[float], mask: list[int], *kinds: str) -> ScoredRow:
    return ScoredRow(
        torch.tensor(sampled), torch.tensor(scored), torch.tensor(mask), kinds or ("original",)
    )


def test_metrics_by_hand() -> None:
    """Originals: gaps 0.5, 0.25 and 0; the reflection's copied tokens, 7 and 9 apart, are masked.

    Sums: 0.5 - 0.25 = 0.25 in the first row, 0 in the second, 1.5 + 0.5 = 2 in the reflection.
    """
    rows = [
        row([-1.0, -2.0], [-1.5, -1.75], [1, 1]),
        row([-3.0], [-3.0], [1]),
        row([0.0, 0.0, -1.0, -1.0], [-7.0, NAN, -2.5, -1.5], [0, 0, 1, 1], "reflected", "r_image"),
    ]
    assert parity_metrics(rows) == pytest.approx(
        {
            "tokens": 5.0,
            "original_max": 0.5,
            "original_mean": 0.25,
            "reflected_max": 1.5,
            "reflected_mean": 1.0,
            "r_image_max": 1.5,
            "r_image_mean": 1.0,
            "row_sum_max": 2.0,
        }
    )
    assert worst_token(rows) == (2, 2)


@pytest.mark.parametrize("other", [NAN, math.inf, -math.inf])
def test_what_is_no_number_is_infinitely_far(other: float) -> None:
    """NaN compares false with every limit; it must not pass for agreement."""
    rows = [row([-1.0], [-1.0], [1]), row([-1.0, -1.0], [-1.0, other], [1, 1])]
    metrics = parity_metrics(rows)
    assert metrics["original_max"] == math.inf
    assert metrics["row_sum_max"] == math.inf
    assert worst_token(rows) == (1, 1)


def test_nothing_decoded_is_counted_and_nothing_else_said() -> None:
    assert parity_metrics([]) == {"tokens": 0.0}
    assert parity_metrics([row([-1.0], [-9.0], [0])]) == {"tokens": 0.0}


def test_ratio_deviation_by_hand() -> None:
    """rho = e^0.1 and e^-0.5; the third token is masked. |rho - 1| = 0.10517, 0.39347."""
    old = torch.tensor([[-1.0, -1.0, -1.0]])
    new = torch.tensor([[-0.9, -1.5, NAN]])
    mask = torch.tensor([[1, 1, 0]])
    assert float(ratio_deviation(new, old, mask)) == pytest.approx(0.3934693, rel=1e-6)
    assert float(ratio_deviation(new, old, torch.zeros_like(mask))) == 0.0
    assert float(ratio_deviation(new[:0], old[:0], mask[:0])) == 0.0
