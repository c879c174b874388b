"""Sequence advantages of hand-computed groups, as literal numbers.

Each docstring holds the computation, with eps = 1e-6 left out (it moves the sixth digit). This
does not prove anything about groups of other shapes; `test_advantage_properties.py` does.
"""

from __future__ import annotations

import math

import pytest
import torch

from care_verl.algorithm import CareAdvantages, CareConfig, care_advantages

from .oracle import Row, run


def group(
    acc: list[float],
    *,
    angles: list[float] | None = None,
    reward: list[float] | None = None,
    think: list[int] | None = None,
    answer: list[int] | None = None,
    logp: list[float] | None = None,
    sources: list[int] | None = None,
) -> list[Row]:
    """One group; a row's embedding is the unit vector at an angle, by default 10 degrees apart."""
    n = len(acc)
    turn = [math.radians(a) for a in angles or [10.0 * i for i in range(n)]]
    return [
        Row(
            uid="g",
            acc=acc[i],
            reward=(reward or acc)[i],
            think_len=(think or [5] * n)[i],
            answer_len=(answer or [2] * n)[i],
            embedding=[math.cos(turn[i]), math.sin(turn[i])],
            logp=(logp or [-1.0] * n)[i],
            source=(sources or [-1] * n)[i],
        )
        for i in range(n)
    ]


def check(result: CareAdvantages, advantage: list[float], raw: list[float]) -> None:
    torch.testing.assert_close(result.advantage, torch.tensor(advantage), atol=2e-5, rtol=0)
    torch.testing.assert_close(result.raw, torch.tensor(raw), atol=2e-5, rtol=0)


def test_corollary_1_binary_rewards() -> None:
    """One right, four wrong: mu = 1/5, sigma = sqrt(4/25) = 2/5.

    Anchor (1 - 0.2)/0.4 = 2 = sqrt(4); negatives -0.2/0.4 = -1/2 = -1/sqrt(4), scaled by s = 1/2
    to -1/4. K_S = K = 4: no equalisation.
    """
    result = run(group([1, 0, 0, 0, 0]), CareConfig())
    check(result, [2, -0.25, -0.25, -0.25, -0.25], [2, -0.5, -0.5, -0.5, -0.5])
    assert result.role == ["anchor"] + ["negative"] * 4


def test_corollary_2_rescue() -> None:
    """Five wrong rows; row 3 has the highest log-probability, so it is t.

    Pseudo-rewards 0.1 and -0.1/4 = -0.025: mu = 0, sigma^2 = (0.01 + 4 * 0.000625)/5 = 0.0025,
    sigma = 0.05. A_raw = 0.1/0.05 = 2 and -0.025/0.05 = -1/2, the signature of Corollary 1. The
    format rewards (0.1 for the first two) play no part.
    """
    rows = group([0] * 5, reward=[0.1, 0.1, 0, 0, 0], logp=[-9, -7, -8, -3, -4])
    result = run(rows, CareConfig())
    # eps weighs 1e-6 / 0.05 here.
    expected = torch.tensor([-0.25, -0.25, -0.25, 2, -0.25])
    torch.testing.assert_close(result.advantage, expected, atol=5e-5, rtol=0)
    assert result.role == ["negative"] * 3 + ["anchor", "negative"]
    assert result.k_prime.tolist() == [4]


def test_rescue_off_gives_nothing() -> None:
    """All wrong and no rescue: every advantage is 0 and every role `outside`."""
    result = run(group([0] * 5), CareConfig(rescue=False))
    assert result.advantage.tolist() == [0.0] * 5
    assert result.role == ["outside"] * 5
    assert result.d_cos.isnan().all()


def test_rescue_by_mean_logp() -> None:
    """Sums -9, -8 over 9 and 2 tokens: means -1 and -4, so row 0 is t, not row 1."""
    rows = group([0, 0], logp=[-9, -8])

    def roles(config: CareConfig, response_len: torch.Tensor | None) -> list[str]:
        return care_advantages(
            torch.zeros(2),
            torch.zeros(2),
            ["g", "g"],
            torch.ones(2, dtype=torch.long),
            torch.ones(2, dtype=torch.long),
            torch.tensor([row.embedding for row in rows]),
            torch.tensor([row.logp for row in rows]),
            torch.full((2,), -1),
            config,
            response_len=response_len,
        ).role

    assert roles(CareConfig(), None) == ["negative", "anchor"]
    assert roles(CareConfig(rescue_logp="mean"), torch.tensor([9, 2])) == ["anchor", "negative"]
    with pytest.raises(ValueError, match="response_len is None"):
        roles(CareConfig(rescue_logp="mean"), None)


def test_equalisation_of_a_small_subgroup() -> None:
    """One right, two wrong: mu = 1/3, sigma = sqrt(2)/3.

    Anchor (2/3)/(sqrt(2)/3) = 1.41421, negatives -0.70711, scaled -0.35355. K_S = 2 < 4: times
    sqrt(4/2) = 1.41421 gives 2 and -0.5.
    """
    rows = group([1, 0, 0])
    raw = [1.41421, -0.70711, -0.70711]
    check(run(rows, CareConfig()), [2, -0.5, -0.5], raw)
    check(run(rows, CareConfig(equalize=False)), [1.41421, -0.35355, -0.35355], raw)


def test_successful_reflection() -> None:
    """Right, wrong, wrong, and a right reflection of row 1: S = {0, 2, 3}, rewards 1, 0, 1.

    mu = 2/3, sigma = sqrt(2)/3 = 0.47140. Anchor and reflection (1/3)/0.47140 = 0.70711, the
    negative -(2/3)/0.47140 = -1.41421, scaled -0.70711. K_S = 1: times sqrt(4) = 2.
    """
    result = run(group([1, 0, 0, 1], sources=[-1, -1, -1, 1]), CareConfig())
    check(result, [1.41421, 0, -1.41421, 1.41421], [0.70711, 0, -1.41421, 0.70711])
    assert result.role == ["anchor", "outside", "negative", "positive"]
    assert (result.k_prime.tolist(), result.k_s.tolist()) == ([2], [1])


def test_failed_reflection() -> None:
    """Right, wrong, wrong, and a wrong reflection of row 1: S holds all four, rewards 1, 0, 0, 0.

    mu = 1/4, sigma = sqrt(3)/4: anchor sqrt(3) = 1.73205, others -1/sqrt(3) = -0.57735. Scaled:
    -0.28868 by s = 1/2, -0.14434 by s_refl = 1/4. K_S = 3: times sqrt(4/3) = 1.15470 gives
    2, -0.33333 and -0.16667.
    """
    result = run(group([1, 0, 0, 0], sources=[-1, -1, -1, 1]), CareConfig())
    raw = [1.73205, -0.57735, -0.57735, -0.57735]
    check(result, [2, -0.33333, -0.33333, -0.16667], raw)
    assert result.role == ["anchor", "negative", "negative", "negative"]


def test_never_scaled_down() -> None:
    """K = 2, a failed reflection: K_S = 3 > K, the factor stays 1: 1.73205, -0.28868, -0.14434."""
    rows = group([1, 0, 0, 0], sources=[-1, -1, -1, 1])
    result = run(rows, CareConfig(K=2))
    check(
        result,
        [1.73205, -0.28868, -0.28868, -0.14434],
        [1.73205, -0.57735, -0.57735, -0.57735],
    )


def test_reflection_that_replaces_the_only_failure() -> None:
    """Right, wrong, right reflection of row 1: no negative is left, K_S = 0, nothing is learned."""
    result = run(group([1, 0, 1], sources=[-1, -1, 1]), CareConfig())
    assert result.advantage.tolist() == [0.0] * 3
    assert result.role == ["outside"] * 3


def test_two_positives() -> None:
    """Two right rows of equal rationale; row 1 has the shorter answer and is the anchor.

    The other is outside S. S = {1, 2, 3}: the numbers of `test_equalisation_of_a_small_subgroup`.
    """
    result = run(group([1, 1, 0, 0], answer=[3, 2, 2, 2]), CareConfig())
    check(result, [0, 2, -0.5, -0.5], [0, 1.41421, -0.70711, -0.70711])
    assert result.role == ["outside", "anchor", "negative", "negative"]


def test_shaped_rewards() -> None:
    """Rewards 1, 0.1 (well formatted failure) and 0: mu = 0.366667, sigma = 0.449691.

    sigma^2 = (0.633333^2 + 0.266667^2 + 0.366667^2)/3 = 0.202222. A_raw = 1.408374, -0.593000,
    -0.815374; scaled negatives -0.296500, -0.407687; times sqrt(2).
    """
    result = run(group([1, 0, 0], reward=[1.0, 0.1, 0.0]), CareConfig())
    check(result, [1.991741, -0.419314, -0.576557], [1.408374, -0.593000, -0.815374])


def test_well_formatted_failures_make_no_mixed_group() -> None:
    """All wrong, one with a format reward of 0.1: rescued by pseudo-rewards, not contrasted."""
    result = run(group([0, 0, 0], reward=[0.1, 0.0, 0.0], logp=[-5, -1, -9]), CareConfig())
    assert result.role == ["negative", "anchor", "negative"]
    assert result.kind.tolist() == [1]


def test_correct_but_worse_formatted_reflection_is_positive() -> None:
    """Anchor reward 1.0, reflection right with 0.9, one failure at 0: mu = 0.633333.

    sigma^2 = (0.366667^2 + 0.266667^2 + 0.633333^2)/3 = 0.202222, sigma = 0.449691. A_raw =
    0.815374, 0.593000 and -1.408374. K_S = 1: times 2; the negative is halved first.
    """
    rows = group([1, 0, 0, 1], reward=[1, 0, 0, 0.9], sources=[-1, -1, -1, 1])
    result = run(rows, CareConfig())
    check(result, [1.630749, 0, -1.408374, 1.186000], [0.815374, 0, -1.408374, 0.593000])


def test_robust_normalisation() -> None:
    """Rewards 1, 0.1, 0.1, 0, 0 with trim 0.1: floor(0.5) = 0 rows cut, mean 0.24.

    Median 0.1, deviations 0.9, 0, 0, 0.1, 0.1: median 0.1. A_raw = 7.6, -1.4, -1.4, -2.4, -2.4.
    """
    rows = group([1, 0, 0, 0, 0], reward=[1, 0.1, 0.1, 0, 0])
    result = run(rows, CareConfig(normalization="robust"))
    torch.testing.assert_close(
        result.raw, torch.tensor([7.6, -1.4, -1.4, -2.4, -2.4]), atol=2e-4, rtol=0
    )


def test_robust_normalisation_without_deviation() -> None:
    """Binary rewards: the median absolute deviation is 0, the standard deviation steps in."""
    result = run(group([1, 0, 0, 0, 0]), CareConfig(normalization="robust"))
    check(result, [2, -0.25, -0.25, -0.25, -0.25], [2, -0.5, -0.5, -0.5, -0.5])


def test_equal_rewards_give_exactly_zero() -> None:
    """lam = 1 pays the format alone: all rewards are 0.1 and nothing may be left of rounding."""
    result = run(group([1, 0, 0], reward=[0.1] * 3), CareConfig())
    assert result.advantage.tolist() == [0.0] * 3
    assert result.role == ["anchor", "negative", "negative"]
