"""Metrics of a batch worked out by hand, and Eq. 1.

Keys that a batch has nothing for are left out; this does not prove that a logger copes with it.
"""

from __future__ import annotations

import pytest
import torch

from care_verl.algorithm import CareConfig, verifiable_reward
from care_verl.algorithm.diagnostics import care_metrics, failure_share

from .oracle import Row, run


def rows_of(uid: str, acc: list[float], sources: list[int] | None = None) -> list[Row]:
    return [
        Row(uid, a, a, 10 + i, 1, [1.0, 0.0], -float(i), (sources or [-1] * len(acc))[i])
        for i, a in enumerate(acc)
    ]


def metrics(rows: list[Row], config: CareConfig | None = None) -> dict[str, float]:
    config = config or CareConfig()
    acc = torch.tensor([row.acc for row in rows])
    think_len = torch.tensor([row.think_len for row in rows])
    source = torch.tensor([row.source for row in rows])
    return care_metrics(run(rows, config), acc, think_len, source, config, {"no_room": 3})


def test_metrics_by_hand() -> None:
    """Five groups, K = 4.

    s: right, wrong, wrong, right reflection. S = anchor, one failure, reflection: advantages
    1.41421, -1.41421, 1.41421 (see the golden tests). f: right, wrong, failed reflection, K_S = 2:
    raw 1.41421, twice -0.70711; advantages 2, -0.5, -0.25. w: three wrong: rescued with 2 and
    twice -0.5. r: two right. o: one wrong row alone, which has nobody to be contrasted with.

    Failures: 1.41421 + 0.75 + 3 (in w the pseudo-anchor is a failure too) = 5.16421 of
    5.16421 + 2.82843 + 2 = 9.99264. Negatives -1.41421, -0.5, -0.25, -0.5, -0.5: mean -0.632843,
    variance 2.8125/5 - 0.400490 = 0.162010. Above: 1.41421, 1.41421, 2, 2: variance 0.0857864.
    Quotient 1.888613.
    """
    rows = rows_of("s", [1, 0, 0, 1], [-1, -1, -1, 1])
    rows += rows_of("f", [1, 0, 0], [-1, -1, 5])
    rows += rows_of("w", [0, 0, 0]) + rows_of("r", [1, 1]) + rows_of("o", [0])
    root = 2**0.5
    expected = {
        "groups/mixed": 2,
        "groups/all_wrong": 2,
        "groups/rescued": 1,
        "groups/all_right": 1,
        "groups/skipped": 2,
        "kprime/hist_0": 2,
        "kprime/hist_1": 1,
        "kprime/hist_2": 2,
        "kprime/hist_3": 0,
        "kprime/hist_4": 0,
        "signature/anchor_k2": root,
        "signature/anchor_theory_k2": root,
        "signature/negative_k2": -1 / root,
        "signature/negative_theory_k2": -1 / root,
        "signal/failure_share": 5.16421 / 9.99264,
        "rgr/triggered": 2,
        "rgr/succeeded": 1,
        "rgr/success_rate": 0.5,
        "rgr/skipped/no_room": 3,
        "anchor/think_len": 10,
        "variance/negative": 0.162010,
        "variance/positive": 0.0857864,
        "variance/ratio": 1.888613,
        "rows/total": 13,
        "rows/updated": 9,
        "rows/updated_share": 9 / 13,
    }
    assert metrics(rows) == pytest.approx(expected, abs=5e-5)


def test_rounding_is_no_variance() -> None:
    """Binary rewards, equalised: every anchor has sqrt(4) but for eps; no quotient is formed."""
    found = metrics(rows_of("a", [1, 0, 0]) + rows_of("b", [1, 0]))
    assert "variance/ratio" not in found
    assert found["variance/positive"] == pytest.approx(0, abs=1e-9)


def test_nothing_updated() -> None:
    found = metrics(rows_of("a", [1, 1]))
    assert found["groups/skipped"] == 1
    assert found["rows/updated"] == 0
    assert not {"signal/failure_share", "anchor/think_len", "rgr/success_rate"} & set(found)


def test_failure_share_over_tokens() -> None:
    """Failures hold |-1| + |-2| = 3 of 4; a row without any weight contributes nothing."""
    a = torch.tensor([[0.5, 0.5], [-1, -2], [0, 0]])
    assert failure_share(a, torch.tensor([1.0, 0, 0.5])) == pytest.approx(0.75)
    assert failure_share(torch.zeros(3), torch.ones(3)) is None


def test_eq_1() -> None:
    """0.9 * 1 + 0.1 * 1 = 1, 0.9 * 1 = 0.9, 0.1 * 1 = 0.1."""
    found = verifiable_reward(torch.tensor([1.0, 1, 0]), torch.tensor([1.0, 0, 1]), 0.1)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.9, 0.1]))
