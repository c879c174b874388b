"""The K' check holds on what the algorithm makes of graded rewards, and fails on planted errors.

It compares two computations of one formula: it says that advantages are what the paper prescribes
for the rewards of their group, not that anything is learned from them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from care_verl.tools.report.groups import Groups
from care_verl.tools.report.lines import Line
from care_verl.tools.report.runs import load_run
from care_verl.tools.report.signature import attenuation, buckets, check, fits, shown_groups
from care_verl.tools.report.summary import check_line
from tests.records.samples import write_sample_run

from .samples import write_graded_run


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Groups:
    path = write_graded_run(tmp_path_factory.mktemp("graded") / "run", steps=4, groups=40)
    groups = load_run(path).groups
    assert groups is not None
    return groups


def test_it_holds_on_the_algorithms_advantages(graded: Groups) -> None:
    made = check(graded)
    assert made is not None
    assert made.holds
    assert made.groups > 30
    assert min(made.r_anchor or 0, made.r_negative or 0) >= 0.998
    assert made.deviation < 1e-4
    assert made.groups + sum(made.left_out.values()) == len(graded)
    assert any(reason.startswith("rescued") for reason in made.left_out)


def _root_instead_of_alpha(groups: Groups) -> Groups:
    """As if rewards were binary."""
    root = np.sqrt(np.maximum(groups.k_s, 1))
    return replace(groups, anchor_raw=root, negative_raw=-1 / root)


def _sample_deviation(groups: Groups) -> Groups:
    """Divided by n in place of n + 1 within the root: a factor that differs by n."""
    factor = np.sqrt(groups.k_s / (groups.k_s + 1))
    return replace(
        groups, anchor_raw=groups.anchor_raw * factor, negative_raw=groups.negative_raw * factor
    )


def _other_groups_advantages(groups: Groups) -> Groups:
    return replace(groups, anchor_raw=np.roll(groups.anchor_raw, 1))


def _scaled(groups: Groups) -> Groups:
    """One factor for all: Pearson's r does not see it."""
    return replace(groups, anchor_raw=0.9 * groups.anchor_raw)


def _negatives_scaled(groups: Groups) -> Groups:
    """A with s = 0.5 where A_raw belongs."""
    return replace(groups, negative_raw=0.5 * groups.negative_raw)


@pytest.mark.parametrize(
    "plant",
    [
        _root_instead_of_alpha,
        _sample_deviation,
        _other_groups_advantages,
        _scaled,
        _negatives_scaled,
    ],
)
def test_it_fails_on_planted_errors(graded: Groups, plant) -> None:  # type: ignore[no-untyped-def]
    made = check(plant(graded))
    assert made is not None
    assert not made.holds


def test_one_wrong_group_is_enough(graded: Groups) -> None:
    made = check(graded)
    assert made is not None
    wrong = graded.anchor_raw.copy()
    entering = (graded.spread > 0) & (graded.kind == "mixed") & ~graded.second_positive
    wrong[np.flatnonzero(entering & (graded.k_s > 0))[0]] *= 1.01
    planted = check(replace(graded, anchor_raw=wrong))
    assert planted is not None
    assert not planted.holds


def test_one_alpha_leaves_the_distance_to_decide(graded: Groups) -> None:
    """Ten copies of one group: no correlation, but right or wrong all the same."""
    entering = (graded.spread > 0) & (graded.kind == "mixed") & ~graded.second_positive
    one = np.flatnonzero(entering & (graded.k_s > 0))[:1]
    copies = graded.where(np.repeat(one, 10))
    made, wrong = check(copies), check(_scaled(copies))
    assert made is not None
    assert wrong is not None
    assert (made.r_anchor, made.r_negative, made.holds) == (None, None, True)
    assert not wrong.holds


def test_attenuation_by_hand(graded: Groups) -> None:
    """Anchor 1, negatives 0.1 and 0.3: gap 0.8, variance 0.01, alpha = (1 + 3*0.01/0.64)^-1/2.

    From Eqs. 5 to 7: mean 1.4/3, deviation sqrt(0.4466667/3), A = 1.38222 = alpha * sqrt(2)."""
    one = graded.where(np.array([0]))
    one = replace(one, k_s=np.array([2]), gap=np.array([0.8]), spread=np.array([0.01]))
    rewards = np.array([1.0, 0.1, 0.3])
    expected = (1 - rewards.mean()) / rewards.std()
    assert attenuation(one)[0] == pytest.approx((1 + 0.03 / 0.64) ** -0.5)
    assert attenuation(one)[0] * 2**0.5 == pytest.approx(expected)


def test_binary_rewards_lie_on_the_theory_and_leave_nothing_to_check(tmp_path: Path) -> None:
    groups = load_run(write_sample_run(tmp_path, steps=3)).groups
    assert groups is not None
    assert check(groups) is None
    found = buckets(shown_groups(groups))
    for bucket in found:
        assert bucket.anchor.mean == pytest.approx(bucket.n**0.5, rel=1e-4)
        assert bucket.negative.mean == pytest.approx(-(bucket.n**-0.5), rel=1e-4)
    for fit in fits(found):
        assert fit is not None
        assert (fit.slope, fit.intercept) == pytest.approx((1, 0), abs=1e-3)


def test_another_normalisation_is_not_checked(tmp_path: Path) -> None:
    path = write_graded_run(tmp_path / "run", 1, 10, config={"normalization": "robust"})
    assert "not applicable" in check_line(Line("x", (load_run(path),)))
