"""What is known of a step of CARE once its rows are sampled."""

from __future__ import annotations

from dataclasses import dataclass

from care_verl.algorithm import CareAdvantages, CareConfig
from care_verl.training.care.step_rows import StepRows
from care_verl.training.care.token_credit import Fields, credit_fields, unpaid_answers

UPDATED = "care/rows/updated"


@dataclass
class CareStep:
    """One step, from the end of its sampling to its last metric.

    credit: the queue's fields of the rows that go on to the update, by key. metrics: over all rows,
    dropped ones too; they are the last word on the step.
    """

    rows: StepRows
    result: CareAdvantages
    credit: dict[str, Fields]
    metrics: dict[str, float]

    @classmethod
    def of(cls, rows: StepRows, config: CareConfig) -> CareStep:
        """Advantages of all rows, and the credit of those that have one."""
        result = rows.advantages(config)
        updated = result.advantage.nonzero().flatten().tolist()
        credit, without_weight = credit_fields(rows, result.advantage, updated, config)
        metrics = rows.metrics(result, config) | {
            "care/rows/without_weight": float(without_weight),
            "care/rows/unpaid_answer": float(unpaid_answers(rows, credit)),
        }
        return cls(rows, result, credit, metrics)
