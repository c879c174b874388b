"""What only rows of GRPO-CARE have in a record: likelihoods, bonuses, two advantages."""

from __future__ import annotations

import math
from functools import partial

from care_verl.training.grpo_care.step import ScoredStep, answer_of
from care_verl.training.recording.held_step import RecordedRows, Row


def grpo_care_rows(step: ScoredStep) -> RecordedRows:
    """A step's rows for its record; all of them are in the update."""
    return RecordedRows.of(step, frozenset(step.keys), partial(_columns, step))


def _columns(step: ScoredStep) -> list[Row]:
    kinds = step.kinds
    return [_column(step, i) | {"kind": kind} for i, kind in enumerate(kinds)]


def _column(step: ScoredStep, i: int) -> Row:
    result = step.result
    likelihood = float(result.likelihood[i])
    return {
        "advantage": float(result.advantage[i]),
        "advantage_base": float(result.base[i]),
        "accurate": bool(result.accurate[i]),
        "answer_tokens": answer_of(step.records[i]),
        "answer_likelihood": None if math.isnan(likelihood) else likelihood,
        "bonus": float(result.bonus[i]),
    }
