"""Names under which CARE's row data travel through verl's TransferQueue."""

from __future__ import annotations

from care_verl.rollout.settings import CUSTOM_KEY as HARVEST
from care_verl.rollout.settings import EMBEDDING_FIELD as EMBEDDING
from care_verl.rollout.settings import TIME_LIMIT_KEY as TIME_LIMIT
from care_verl.rollout.settings import TIMED_OUT
from care_verl.rollout.settings import TOKENS_FIELD as EMBEDDING_TOKENS

__all__ = [
    "CARE",
    "EMBEDDING",
    "EMBEDDING_TOKENS",
    "HARVEST",
    "IN_S_STAR",
    "ORACLE",
    "RATIONALE_RANGE",
    "RGR_SKIPPED",
    "TIMED_OUT",
    "TIME_LIMIT",
]

CARE = "care"
"""Key in a row's `extra_fields`: a `CareRow` as a mapping, written by the agent-loop worker."""

IN_S_STAR = "care_in_s_star"
"""Row field, float32: 1 where the row's advantage is not 0."""

RATIONALE_RANGE = "care_rationale_range"
"""Row field, int64 [2]: rationale positions that were fed, half-open, in prompt + response."""

ORACLE = "care_oracle_embedding"
"""Row field, float32 [H]: the embedding as the actor pools it (cross-check)."""

RGR_SKIPPED = "care_rgr_skipped"
"""Tag on a source's row: why its group went without the reflection it triggered."""
