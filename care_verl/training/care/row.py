"""What CARE's agent-loop worker learns about a row, on its way to the trainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from care_verl.training.judged_row import JudgedRow, fault_of, reported_accuracy


@dataclass(frozen=True, kw_only=True)
class CareRow(JudgedRow):
    """One row of CARE. `images` is how many the prompt has."""

    logp: float
    images: int = 0


def read_accuracy(extra_fields: Mapping[str, Any], verdict: str) -> float:
    """`acc` of a scored row, 0 or 1; `verdict` says whose, about which row.

    Raises MisfitError when the reward function does not report it or reports another value, and
    ValueError, which costs the group only, for NaN.
    """
    acc = reported_accuracy(extra_fields, verdict)
    if acc not in (0, 1):
        raise fault_of(acc)(
            f"{verdict}: acc is {acc!r}; expected 0 or 1: CARE divides a group into "
            "successes and failures. Put what is shaped or partial into the score"
        )
    return float(acc)


class NoEmbeddingError(RuntimeError):
    """A rollout has no rationale embedding that could be compared; it costs its group."""


def as_embedding(value: Any, session: int) -> np.ndarray:
    """A harvested embedding as float32 [H].

    Raises RuntimeError when the server harvests none, NoEmbeddingError when it lost this one or
    when it is not finite: one such row would end the step of all groups.
    """
    if value is None:
        raise RuntimeError(
            f"session {session} came back without a rationale embedding: the rollout server does "
            "not harvest. Is the care-verl plugin installed where vLLM runs?"
        )
    embedding = np.asarray(value, dtype=np.float32)
    if not embedding.size:
        raise NoEmbeddingError(
            f"session {session} came back with an empty rationale embedding: the harvest lost "
            "track of its request; the log of the rollout worker says how"
        )
    if not np.isfinite(embedding).all():
        raise NoEmbeddingError(
            f"session {session}: the rationale embedding holds NaN or infinity; expected finite "
            "numbers. The model's hidden states overflow: look at its weights and dtype"
        )
    return embedding
