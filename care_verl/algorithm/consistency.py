"""GRPO-CARE (arXiv 2506.16141): the consistency bonus, its advantages, its moving reference.

A row's answer is scored by a reference model, an exponential moving average of the policy: how
likely is it, given the rationale before it? Among the accurate rows of a group, those whose answer
is at least as likely as theirs is on average get a bonus. What was settled beside the paper and the
authors' public code stands in `docs/grpo-care.md`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.algorithm.spans import Span

_ROUNDING = 1e-12
"""By so much the mean of equal numbers may lie above them."""


@dataclass(frozen=True)
class GrpoCareAdvantages:
    """What one batch of B rows in N groups becomes.

    advantage: float64 [B], exactly 0 where all rewards of a group are equal.
    base: float64 [B], the advantage that the reward alone would give, without any bonus.
    bonus: float64 [B], 0 for a row that gets none.
    accurate: bool [B], the rows that were compared with each other.
    likelihood: float64 [B], as given, clamped from above; NaN for a row without one.
    group: int64 [B], number of each row's group.
    """

    advantage: Tensor
    base: Tensor
    bonus: Tensor
    accurate: Tensor
    likelihood: Tensor
    group: Tensor


def answer_likelihood(ref_log_prob: Sequence[Tensor], answer: Sequence[Span | None]) -> Tensor:
    """exp of the mean reference log-probability over a row's answer tokens: float64 [B].

    **Settled**: NaN for a row without answer tokens, which has nothing to be likely; the authors'
    code divides 0 by almost 0 there and calls such an answer certain.

    Args:
        ref_log_prob: B tensors [T_i], one log-probability for each response token.
        answer: B half-open ranges of response tokens; None or an empty one where there is none.

    Raises:
        ValueError: a range reaches beyond its response, or holds a NaN.
    """
    values = []
    for row, (log_prob, span) in enumerate(zip(ref_log_prob, answer, strict=True)):
        if span is not None and not 0 <= span[0] <= span[1] <= len(log_prob):
            raise ValueError(
                f"the answer of row {row} is said to be tokens {span[0]} to {span[1]}; expected a "
                f"range inside its {len(log_prob)} response tokens"
            )
        tokens = log_prob[slice(*span)].double() if span else log_prob.new_empty(0).double()
        if tokens.isnan().any():
            raise ValueError(
                f"the reference's log-probabilities of row {row}'s answer hold NaN; expected "
                "numbers"
            )
        values.append(tokens.mean().exp() if len(tokens) else tokens.new_tensor(torch.nan))
    return torch.stack(values)


def grpo_care_advantages(
    reward: Tensor,
    acc: Tensor,
    likelihood: Tensor,
    uid: Sequence[Hashable],
    config: GrpoCareConfig,
) -> GrpoCareAdvantages:
    """A = (r + bonus - mean) / (deviation + eps) over the rows of a group, deviation with n - 1.

    Args:
        reward: [B], the base reward; acc: [B], in [0, 1].
        likelihood: [B], `answer_likelihood`; NaN for a row that has none.
        uid: B names of groups.

    Raises:
        ValueError: names the argument, what was found and what is expected.
    """
    rows = len(uid)
    _check(rows, reward, acc, likelihood)
    numbers: dict[Hashable, int] = {}
    group = torch.tensor([numbers.setdefault(name, len(numbers)) for name in uid])
    reward, acc = reward.detach().double().cpu(), acc.detach().double().cpu()
    likelihood = likelihood.detach().double().cpu().clamp(max=config.confidence_upper_bound)
    accurate = accurate_rows(acc, group, config)
    bonus = consistency_bonus(acc, accurate, likelihood, group, config)
    return GrpoCareAdvantages(
        advantage=_scores(reward + bonus, group, config.eps),
        base=_scores(reward, group, config.eps),
        bonus=bonus,
        accurate=accurate,
        likelihood=likelihood,
        group=group,
    )


def accurate_rows(acc: Tensor, group: Tensor, config: GrpoCareConfig) -> Tensor:
    """Rows whose accuracy is above the threshold and not below their group's mean: bool [B].

    acc: float64 [B]; group: int64 [B], numbers of groups from 0 on.
    """
    everywhere = torch.ones_like(acc, dtype=torch.bool)
    mean = _mean(acc, everywhere, group)
    return (acc > config.accuracy_threshold) & (acc >= mean[group] - _ROUNDING)


def consistency_bonus(
    acc: Tensor, accurate: Tensor, likelihood: Tensor, group: Tensor, config: GrpoCareConfig
) -> Tensor:
    """bonus_coefficient · acc for the accurate rows at or above their mean likelihood: [B].

    The mean is over the accurate rows of the group and has `margin` subtracted. A group without
    accurate rows gets nothing. **Settled**: an accurate row without a likelihood (NaN) gets none
    and does not count in the mean.

    acc, likelihood: float64 [B]; accurate: bool [B]; group: int64 [B].
    """
    compared = accurate & ~likelihood.isnan()
    bar = _mean(likelihood, compared, group) - config.margin
    consistent = compared & (likelihood >= bar[group] - _ROUNDING)
    return torch.where(consistent, config.bonus_coefficient * acc, 0.0)


def ema_step(reference: Tensor, policy: Tensor, decay: float) -> Tensor:
    """decay · reference + (1 - decay) · policy, elementwise, in the dtype of `reference`."""
    return torch.lerp(policy.detach().to(reference.dtype), reference.detach(), decay)


def relative_distance(squared_difference: float, squared_norm: float) -> float:
    """||policy - reference|| / ||reference|| of sums over all parameters; 0 where both are 0.

    Raises ValueError where the reference is 0 and the policy is not.
    """
    if squared_norm == 0 and squared_difference > 0:
        raise ValueError("the reference has no parameter other than 0, and the policy has")
    return float((squared_difference / squared_norm) ** 0.5) if squared_norm else 0.0


def _scores(reward: Tensor, group: Tensor, eps: float) -> Tensor:
    """Centred on the group's mean, divided by its deviation."""
    everywhere = torch.ones_like(reward, dtype=torch.bool)
    # Relative to one of the group's rewards, equal rewards leave no rounding to divide by eps.
    lowest = torch.full((_groups(group),), torch.inf, dtype=reward.dtype)
    lowest.scatter_reduce_(0, group, reward, "amin")
    centred = reward - lowest[group]
    centred = centred - _mean(centred, everywhere, group)[group]
    count = torch.bincount(group)
    squares = torch.zeros_like(lowest).index_add_(0, group, centred**2)
    deviation = (squares / (count - 1).clamp(min=1)).sqrt()
    return centred / (deviation[group] + eps)


def _mean(values: Tensor, rows: Tensor, group: Tensor) -> Tensor:
    """Mean over the chosen rows of each group, [N]; NaN for a group in which none is chosen."""
    count = torch.bincount(group[rows], minlength=_groups(group))
    sums = torch.zeros(len(count), dtype=values.dtype).index_add_(0, group[rows], values[rows])
    return sums / count


def _groups(group: Tensor) -> int:
    return int(group.max()) + 1


def _check(rows: int, reward: Tensor, acc: Tensor, likelihood: Tensor) -> None:
    if rows == 0:
        raise ValueError("the batch has no rows; expected at least one")
    given = {"reward": reward, "acc": acc, "likelihood": likelihood}
    for name, value in given.items():
        if value.shape != (rows,):
            raise ValueError(f"{name} has shape {tuple(value.shape)}; expected ({rows},)")
    for name in ("reward", "acc"):
        if not torch.isfinite(given[name]).all():
            raise ValueError(f"{name} holds NaN or infinity; expected finite numbers")
    if ((acc < 0) | (acc > 1)).any():
        raise ValueError(f"acc reaches from {acc.min()} to {acc.max()}; expected [0, 1]")
    if (likelihood < 0).any():
        raise ValueError("likelihood holds a negative number; expected probabilities, or NaN")
