"""GRPO-CARE by hand, and what holds for every batch.

That the reference's log-probabilities are those of the moving average, and that the advantages
reach the update, is shown end to end only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from care_verl.algorithm.consistency import (
    GrpoCareAdvantages,
    answer_likelihood,
    ema_step,
    grpo_care_advantages,
    relative_distance,
)
from care_verl.algorithm.consistency_config import GrpoCareConfig

NONE = math.nan


def computed(
    reward: Sequence[float],
    acc: Sequence[float],
    likelihood: Sequence[float],
    uid: Sequence[str] | None = None,
    **settings: float,
) -> GrpoCareAdvantages:
    return grpo_care_advantages(
        torch.tensor(reward, dtype=torch.float64),
        torch.tensor(acc, dtype=torch.float64),
        torch.tensor(likelihood, dtype=torch.float64),
        ["u"] * len(reward) if uid is None else uid,
        GrpoCareConfig(**settings),  # type: ignore[arg-type]
    )


def test_likelihood_by_hand() -> None:
    """exp((ln 1/2 + ln 1/8)/2) = 1/4 over tokens 1 and 2; the others do not count."""
    log_prob = torch.tensor([-9.0, math.log(0.5), math.log(0.125), -9.0])
    certain = torch.tensor([-9.0, 0.0])
    found = answer_likelihood([log_prob, certain, certain, certain], [(1, 3), (1, 2), None, (1, 1)])
    assert found[:2].tolist() == pytest.approx([0.25, 1.0])
    assert found[2:].isnan().all()


@pytest.mark.parametrize("span", [(1, 4), (-1, 2), (2, 1)])
def test_a_range_that_is_none_of_its_response_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="row 0 .* inside its 3 response tokens"):
        answer_likelihood([torch.zeros(3)], [span])


def test_a_model_that_computes_nan_is_no_missing_answer() -> None:
    with pytest.raises(ValueError, match="row 0's answer hold NaN"):
        answer_likelihood([torch.tensor([0.0, math.nan])], [(0, 2)])


def test_bonus_and_advantage_by_hand() -> None:
    """Two right rows with 0.8 and 0.4, mean 0.6: the first gets 0.5.

    Rewards 1.5, 1, 0, 0: mean 5/8; squares (49 + 9 + 25 + 25)/64 = 108/64, over 3 is 9/16: 3/4.
    """
    result = computed([1, 1, 0, 0], [1, 1, 0, 0], [0.8, 0.4, 0.9, NONE])
    assert result.bonus.tolist() == [0.5, 0.0, 0.0, 0.0]
    assert result.accurate.tolist() == [True, True, False, False]
    expected = [0.875 / 0.7501, 0.375 / 0.7501, -0.625 / 0.7501, -0.625 / 0.7501]
    assert result.advantage.tolist() == pytest.approx(expected)


def test_the_bound_makes_near_certain_answers_equal() -> None:
    """0.99 and 0.96 both count as 0.95, which is their mean; without the bound 0.96 is below."""
    likelihood = [0.99, 0.96, 0.2]
    assert computed([1, 1, 0], [1, 1, 0], likelihood).bonus.tolist() == [0.5, 0.5, 0.0]
    unbounded = computed([1, 1, 0], [1, 1, 0], likelihood, confidence_upper_bound=1.0)
    assert unbounded.bonus.tolist() == [0.5, 0.0, 0.0]


def test_the_margin_lowers_the_bar() -> None:
    """Mean 0.50: 0.49 is within 0.01 of it (as far as binary numbers tell), 0.48 is not."""
    likelihood = [0.53, 0.49001, 0.48]
    strict = computed([1, 1, 1], [1, 1, 1], likelihood)
    lenient = computed([1, 1, 1], [1, 1, 1], likelihood, margin=0.01)
    assert strict.bonus.tolist() == [0.5, 0.0, 0.0]
    assert lenient.bonus.tolist() == [0.5, 0.5, 0.0]


def test_partial_accuracies() -> None:
    """0.9, 0.5, 0.2 and 0.05: mean 0.4125, so the first two are accurate, and are compared."""
    result = computed([0.9, 0.5, 0.2, 0.05], [0.9, 0.5, 0.2, 0.05], [0.3, 0.7, 0.9, 0.9])
    assert result.accurate.tolist() == [True, True, False, False]
    assert result.bonus.tolist() == [0.0, 0.25, 0.0, 0.0]
    # All equally bad: not below their mean, but not above 0.1 either.
    assert not computed([0, 0], [0.1, 0.1], [0.5, 0.5]).accurate.any()


def test_an_accurate_row_without_an_answer_gets_nothing_and_does_not_count() -> None:
    """The mean of the others is 0.5; as certain as the authors' code has it, it would be 0.65."""
    result = computed([1, 1, 1, 0], [1, 1, 1, 0], [0.4, 0.6, NONE, NONE])
    assert result.bonus.tolist() == [0.0, 0.5, 0.0, 0.0]
    assert computed([1, 0], [1, 0], [NONE, NONE]).bonus.tolist() == [0.0, 0.0]


def test_a_sole_accurate_row_has_its_bonus_for_certain() -> None:
    assert computed([1, 0], [1, 0], [1e-9, 0.9]).bonus.tolist() == [0.5, 0.0]


def test_a_group_of_one_has_no_advantage() -> None:
    assert computed([1], [1], [0.5]).advantage.tolist() == [0.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [], []), "no rows"),
        (([1.0], [1.0, 0.0], [0.5]), r"acc has shape \(2,\); expected \(1,\)"),
        (([math.inf], [1.0], [0.5]), "reward holds NaN or infinity"),
        (([1.0], [2.0], [0.5]), "acc reaches from 2.0"),
        (([1.0], [1.0], [-0.5]), "likelihood holds a negative number"),
    ],
)
def test_what_is_no_batch_is_refused(
    arguments: tuple[list[float], list[float], list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        computed(*arguments, uid=["u"] * len(arguments[0]))


def test_the_reference_moves_a_two_hundredth_of_the_way() -> None:
    """0.995·1 + 0.005·3 = 1.01; again from there, 1.01995."""
    reference, policy = torch.tensor([1.0], dtype=torch.float64), torch.tensor([3.0])
    first = ema_step(reference, policy, 0.995)
    assert first.item() == pytest.approx(1.01)
    assert ema_step(first, policy, 0.995).item() == pytest.approx(1.01995)
    assert reference.item() == 1.0
    assert ema_step(reference, policy, 1.0).item() == 1.0
    assert ema_step(reference, policy, 0.0).item() == 3.0


def test_a_16_bit_reference_would_stand_still() -> None:
    """Why the reference is kept in 32 bits: between 1 and 2, bfloat16 has steps of 1/128."""
    policy = torch.tensor([1.5])
    for dtype, moved in ((torch.bfloat16, False), (torch.float32, True)):
        reference = torch.ones(1, dtype=dtype)
        for _ in range(10):
            reference = ema_step(reference, policy, 0.995)
        assert reference.dtype == dtype
        assert bool(reference > 1) == moved


def test_distance_by_hand() -> None:
    assert relative_distance(squared_difference=9.0, squared_norm=36.0) == 0.5
    assert relative_distance(0.0, 0.0) == 0.0
    with pytest.raises(ValueError, match="no parameter other than 0"):
        relative_distance(1.0, 0.0)


# One row: its group, its accuracy, the format's share of its reward, its likelihood.
ROW = st.tuples(
    st.integers(0, 3),
    st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.05, 0.5]),
    st.sampled_from([0.0, 0.1]),
    st.one_of(st.just(NONE), st.floats(0.0, 1.0)),
)
BATCH = st.lists(ROW, min_size=1, max_size=24)


def of(rows: Sequence[tuple[int, float, float, float]]) -> GrpoCareAdvantages:
    groups, acc, form, likelihood = zip(*rows, strict=True)
    reward = [0.9 * a + f for a, f in zip(acc, form, strict=True)]
    return computed(reward, acc, likelihood, uid=[f"g{group}" for group in groups])


@given(rows=BATCH, order=st.randoms(use_true_random=False))
def test_the_order_of_rows_and_groups_does_not_matter(
    rows: list[tuple[int, float, float, float]], order: object
) -> None:
    places = list(range(len(rows)))
    order.shuffle(places)  # type: ignore[attr-defined]
    expected, found = of(rows), of([rows[place] for place in places])
    torch.testing.assert_close(found.bonus, expected.bonus[places], rtol=0, atol=0)
    torch.testing.assert_close(found.advantage, expected.advantage[places], rtol=1e-6, atol=1e-6)


@given(rows=BATCH)
def test_only_accurate_rows_get_a_bonus_and_some_row_of_each_group_that_can(
    rows: list[tuple[int, float, float, float]],
) -> None:
    result = of(rows)
    acc = torch.tensor([row[1] for row in rows], dtype=torch.float64)
    assert not (result.bonus[~result.accurate] != 0).any()
    paid = result.bonus != 0
    torch.testing.assert_close(result.bonus[paid], 0.5 * acc[paid])
    assert (result.likelihood[~result.likelihood.isnan()] <= 0.95).all()
    can = result.accurate & ~result.likelihood.isnan()
    # Whoever is likeliest is not below the mean.
    assert set(result.group[can].tolist()) == set(result.group[paid].tolist())


@given(rows=BATCH)
def test_advantages_are_centred_and_of_unit_deviation(
    rows: list[tuple[int, float, float, float]],
) -> None:
    result = of(rows)
    for number in result.group.unique():
        advantage = result.advantage[result.group == number]
        assert float(advantage.sum()) == pytest.approx(0.0, abs=1e-6)
        if advantage.any():
            assert 0.99 < float(advantage.std()) < 1.0


@given(acc=st.sampled_from([0.0, 1.0]), reward=st.floats(0.0, 1.0), size=st.integers(1, 9))
def test_equal_rows_have_advantages_of_exactly_zero(acc: float, reward: float, size: int) -> None:
    result = computed([reward] * size, [acc] * size, [0.3] * size)
    assert result.advantage.tolist() == [0.0] * size


def test_the_base_is_the_advantage_without_any_bonus() -> None:
    """Two right rows, of which one gets the bonus, and a wrong one."""
    given = {
        "reward": torch.tensor([1.0, 1.0, 0.0]),
        "acc": torch.tensor([1.0, 1.0, 0.0]),
        "likelihood": torch.tensor([0.9, 0.1, 0.5]),
        "uid": ["u"] * 3,
    }
    paid = grpo_care_advantages(**given, config=GrpoCareConfig())
    plain = grpo_care_advantages(**given, config=GrpoCareConfig(bonus_coefficient=0.0))
    assert torch.equal(paid.base, plain.advantage)
    assert not torch.equal(paid.base, paid.advantage)
