"""Names under which CARE's row data travel through verl's TransferQueue."""

from __future__ import annotations

CARE = "care"
"""Key in a row's `extra_fields`: a `RowRecord` as a mapping, written by the agent-loop worker."""

EMBEDDING = "care_embedding"
"""Key in a row's `extra_fields`: rationale embedding, float32 [H], harvested in vLLM."""

EMBEDDING_TOKENS = "care_embedding_tokens"
"""Key in a row's `extra_fields`: how many hidden rows the embedding is the mean of."""

HARVEST = "care_harvest"
"""Sampling parameter that asks the rollout server for the embedding."""

IN_S_STAR = "care_in_s_star"
"""Row field, float32: 1 where the row's advantage is not 0."""

RATIONALE_RANGE = "care_rationale_range"
"""Row field, int64 [2]: rationale positions that were fed, half-open, in prompt + response."""

ORACLE = "care_oracle_embedding"
"""Row field, float32 [H]: the embedding as the actor pools it (cross-check)."""

RGR_SKIPPED = "care_rgr_skipped"
"""Tag on a source's row: why its group went without the reflection it triggered."""
