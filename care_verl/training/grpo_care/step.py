"""The rows of a GRPO-CARE step: what the agent-loop worker learns, and what is made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from care_verl.algorithm.consistency import (
    GrpoCareAdvantages,
    answer_likelihood,
    grpo_care_advantages,
)
from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.algorithm.spans import Span
from care_verl.methods.grpo_care import GRPO_CARE
from care_verl.platform.places import TRAINER
from care_verl.platform.seam import Seam
from care_verl.training.judged_row import JudgedRow
from care_verl.training.queue_rows import group_of
from care_verl.training.run.row_fields import Fields, row_fields
from care_verl.training.sampled_rows import SampledRows, reports_of, require_rows
from care_verl.verifier import UNDECIDED, UNREADABLE_GOLD

RELIES_ON = (
    Seam(
        f"{TRAINER}._compute_metrics",
        "metrics read the rewards with the bonus",
        '"token_level_rewards"',
        'if "token_level_rewards" not in data',
    ),
    Seam(
        "verl.trainer.ppo.metric_utils:compute_data_metrics",
        "verl's rewards are those with the bonus",
        'sequence_reward = batch.batch["token_level_rewards"].sum(-1)',
    ),
)


@dataclass(frozen=True, kw_only=True)
class ScoredStep(SampledRows[JudgedRow]):
    """All B rows of a step with their advantages."""

    result: GrpoCareAdvantages

    @classmethod
    def of(
        cls,
        keys: Sequence[str],
        extra_fields: Sequence[dict[str, Any]],
        masks: Sequence[Tensor],
        ref_log_prob: Sequence[Tensor],
        config: GrpoCareConfig,
    ) -> ScoredStep:
        """From the queue's columns; masks and log-probabilities are B tensors [T_i].

        Raises RuntimeError when no rollout arrived at all.
        """
        require_rows(keys)
        rows = [JudgedRow.from_mapping(fields[GRPO_CARE.name]) for fields in extra_fields]
        result = grpo_care_advantages(
            reward=torch.tensor([row.reward for row in rows], dtype=torch.float64),
            acc=torch.tensor([row.acc for row in rows], dtype=torch.float64),
            likelihood=answer_likelihood(ref_log_prob, [answer_of(row) for row in rows]),
            uid=[group_of(key) for key in keys],
            config=config,
        )
        return cls(
            keys=list(keys),
            records=rows,
            masks=list(masks),
            reports=reports_of(extra_fields),
            result=result,
        )

    def fields(self) -> dict[str, Fields]:
        """What the update and verl's metrics read of each row, by key; bonuses are rewards."""
        advantage, bonus = self.result.advantage.tolist(), self.result.bonus.tolist()
        return {
            key: row_fields(advantage[i], self.masks[i], self.records[i].reward + bonus[i])
            for i, key in enumerate(self.keys)
        }

    def told(self) -> dict[str, dict[str, float | None]]:
        """What a dump of the rollouts says of each row beside verl's columns, by key."""
        result = self.result
        columns: dict[str, list[float] | list[float | None]] = {
            "acc": [row.acc for row in self.records],
            "answer_likelihood": [_or_none(value) for value in result.likelihood.tolist()],
            "bonus": result.bonus.tolist(),
            "advantage": result.advantage.tolist(),
        }
        return {
            key: {name: values[place] for name, values in columns.items()}
            for place, key in enumerate(self.keys)
        }

    def metrics(self) -> dict[str, float]:
        """The `grpo_care/` metrics of the rows; a mean or share over nothing is left out."""
        result = self.result
        accurate, scored = result.accurate, ~result.likelihood.isnan()
        paid = result.bonus > 0
        equal = torch.ones(int(result.group.max()) + 1, dtype=torch.bool)
        equal[result.group[result.advantage != 0]] = False
        metrics = {
            "grpo_care/acc/mean": _mean([row.acc for row in self.records]),
            "grpo_care/accurate/share": _mean(accurate),
            "grpo_care/answer/missing": _mean(~scored),
            "grpo_care/bonus/rate": _mean(paid),
            "grpo_care/bonus/rate_of_accurate": _mean(paid[accurate]),
            "grpo_care/bonus/mean": _mean(result.bonus),
            "grpo_care/likelihood/accurate": _mean(result.likelihood[scored & accurate]),
            "grpo_care/likelihood/inaccurate": _mean(result.likelihood[scored & ~accurate]),
            "grpo_care/groups/without_advantage": float(equal.sum()),
            "grpo_care/verifier/undecided": self.share_of_rule(UNDECIDED),
            "grpo_care/verifier/unreadable_gold": self.share_of_rule(UNREADABLE_GOLD),
        }
        return {name: value for name, value in metrics.items() if not math.isnan(value)}


def answer_of(row: JudgedRow) -> Span | None:
    """The tokens that carry the answer; None where it has no byte."""
    return row.spans.answer if row.spans.answer_len else None


def log_prob_distance(
    old: Sequence[Tensor], reference: Sequence[Tensor], masks: Sequence[Tensor]
) -> float:
    """Mean |log pi_old - log pi_ref| over the decoded tokens of B rows, [T_i] each."""
    apart = [
        (a.double() - b.double()).abs() * m for a, b, m in zip(old, reference, masks, strict=True)
    ]
    return float(sum(row.sum() for row in apart) / sum(mask.sum() for mask in masks))


def _mean(values: Tensor | Sequence[float]) -> float:
    return float(torch.as_tensor(values, dtype=torch.float64).mean())


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
