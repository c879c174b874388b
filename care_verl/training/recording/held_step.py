"""A step's rows, held from before the drop until its metrics are known, to be recorded.

Dropped rows leave the queue with everything that is known of them, so they are read before; what
the update adds comes for the others only. Reading is all that the trainer waits for: tensors and
messages are taken as they are, `record_rows` makes the record of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import transfer_queue as tq
from torch import Tensor
from transfer_queue import KVBatchMeta

from care_verl.algorithm import CareAdvantages
from care_verl.training.queue_rows import plain
from care_verl.training.rows import StepRows
from care_verl.training.token_credit import Fields

ROW_FIELDS = ["responses", "metrics"]
PROMPT_FIELDS = ["prompts", "raw_prompt", "reward_model", "data_source", "index"]
OLD, REFERENCE = "old_log_probs", "ref_log_prob"


@dataclass
class HeldStep:
    """One step with B rows of N groups.

    responses: B tensors [T_i] of token ids. seconds: B numbers, None where nobody measured.
    prompts: `PROMPT_FIELDS` by group, as far as the data has them.
    credit, old, reference: by the keys of the updated rows, [T_i] each.
    """

    step: int
    rows: StepRows
    result: CareAdvantages
    responses: list[Tensor]
    seconds: list[float | None]
    prompts: dict[str, dict[str, Any]]
    credit: dict[str, Tensor] = field(default_factory=dict)
    old: dict[str, Tensor] = field(default_factory=dict)
    reference: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, step: int, partition_id: str, rows: StepRows, result: CareAdvantages) -> HeldStep:
        """Read what the queue holds of every row, and of every prompt once."""
        held = _columns(rows.keys, partition_id, ROW_FIELDS)
        first: dict[str, str] = {}
        for uid, key in zip(rows.uids, rows.keys, strict=True):
            first.setdefault(uid, key)
        prompts = _columns(list(first.values()), partition_id, PROMPT_FIELDS)
        return cls(
            step=step,
            rows=rows,
            result=result,
            responses=held["responses"],
            seconds=[metrics.get("generate_sequences") for metrics in held["metrics"]],
            prompts={
                uid: {name: values[place] for name, values in prompts.items()}
                for place, uid in enumerate(first)
            },
        )

    def complete(self, batch: KVBatchMeta, credit: Mapping[str, Fields]) -> None:
        """Add what the updated rows of `batch` got since; padding among them is left out."""
        advantage = self.result.advantage.tolist()
        updated = {key for key, value in zip(self.rows.keys, advantage, strict=True) if value}
        keys = [key for key in batch.keys if key in updated]
        if not keys:
            return
        scored = _columns(keys, batch.partition_id, [OLD, REFERENCE])
        self.credit = {key: credit[key]["advantages"] for key in keys}
        self.old = dict(zip(keys, scored[OLD], strict=True))
        self.reference = dict(zip(keys, scored.get(REFERENCE, []), strict=False))


def _columns(keys: list[str], partition_id: str, names: Sequence[str]) -> dict[str, list[Any]]:
    """Fields of the rows, those that the queue has."""
    data = tq.kv_batch_get(keys=keys, partition_id=partition_id, select_fields=list(names))
    return {name: _values(data[name]) for name in names if name in data.keys()}  # noqa: SIM118


def _values(column: Any) -> list[Any]:
    if isinstance(column, Tensor):
        return list(column.unbind())
    return [plain(value) for value in column]
