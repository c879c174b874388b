"""What CARE's agent-loop worker learns about a row, on its way to the trainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from care_verl.common.errors import CareVerlError
from care_verl.training.judged_row import JudgedRow


@dataclass(frozen=True, kw_only=True)
class CareRow(JudgedRow):
    """One row of CARE. `images` is how many the prompt has."""

    logp: float
    images: int = 0


class NoEmbeddingError(CareVerlError, RuntimeError):
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
