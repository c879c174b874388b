"""A step's rows, held until its metrics are known, to be recorded.

Rows that CARE drops leave the queue with everything that is known of them, so they are read before;
what the update adds comes for the others only. Reading is all that the trainer waits for: tensors
and messages are taken as they are, `record_rows` makes the record of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import transfer_queue as tq
from torch import Tensor
from transfer_queue import KVBatchMeta

from care_verl.platform.places import DATASET
from care_verl.platform.seam import Seam
from care_verl.training.judged_row import JudgedRow
from care_verl.training.queue_rows import plain
from care_verl.training.sampled_rows import SampledRows

ROW_FIELDS = ["responses", "metrics"]
PROMPT_FIELDS = ["prompts", "raw_prompt", "reward_model", "data_source", "index"]
OLD, REFERENCE = "old_log_probs", "ref_log_prob"

Row = dict[str, Any]


RELIES_ON = (
    Seam(
        "transfer_queue.metadata:BatchMeta.select_fields",
        "the queue returns those fields that it has",
        "for field_name in field_names",
        "if field_name in self.field_schema",
    ),
    Seam(
        f"{DATASET}.__getitem__",
        "a row of the queue has its prompt as the dataset gives it",
        'row_dict["raw_prompt"] = self._build_messages(',
        'row_dict["index"] = index',
    ),
    Seam(
        "verl.experimental.agent_loop.single_turn_agent_loop:SingleTurnAgentLoop.run",
        "a session measures its decoding",
        'simple_timer("generate_sequences", metrics)',
        "metrics=metrics",
    ),
)


class StepTensors(Protocol):
    """What a method keeps of a step beside its rows: read when it is made, completed and written at
    the moments when the record is.
    """

    def complete(self, batch: KVBatchMeta, credit: Mapping[str, Mapping[str, Tensor]]) -> None: ...

    def write(self) -> None: ...


@dataclass(frozen=True)
class RecordedRows:
    """B rows of a step as their method hands them over, in the order of groups and sessions.

    keys: the queue's; uids: the names of their groups. masks: B tensors [T_i], 1 on decoded tokens.
    reports: what the reward said of each row beside its score. updated: keys of the rows that the
    update is made of. columns: the columns that only the method knows, one mapping a row; it is
    called by the thread that writes. tensors: what else the method keeps of this step.
    """

    keys: Sequence[str]
    uids: Sequence[str]
    records: Sequence[JudgedRow]
    masks: Sequence[Tensor]
    reports: Sequence[Mapping[str, Any]]
    updated: frozenset[str]
    columns: Callable[[], Sequence[Row]]
    tensors: StepTensors | None = None

    @classmethod
    def of(
        cls,
        rows: SampledRows[Any],
        updated: frozenset[str],
        columns: Callable[[], Sequence[Row]],
    ) -> RecordedRows:
        """From the rows of a step."""
        return cls(
            keys=rows.keys,
            uids=rows.uids,
            records=rows.records,
            masks=rows.masks,
            reports=rows.reports,
            updated=updated,
            columns=columns,
        )


@dataclass
class HeldStep:
    """One step with B rows of N groups.

    responses: B tensors [T_i] of token ids. seconds: B numbers, None where nobody measured.
    prompts: `PROMPT_FIELDS` by group, as far as the data has them.
    credit, old, reference: by the keys of the updated rows, [T_i] each.
    """

    step: int
    rows: RecordedRows
    responses: list[Tensor]
    seconds: list[float | None]
    prompts: dict[str, dict[str, Any]]
    credit: dict[str, Tensor] = field(default_factory=dict)
    old: dict[str, Tensor] = field(default_factory=dict)
    reference: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, step: int, partition_id: str, rows: RecordedRows) -> HeldStep:
        """Read what the queue holds of every row, and of every prompt once."""
        held = _columns(list(rows.keys), partition_id, ROW_FIELDS)
        first: dict[str, str] = {}
        for uid, key in zip(rows.uids, rows.keys, strict=True):
            first.setdefault(uid, key)
        prompts = _columns(list(first.values()), partition_id, PROMPT_FIELDS)
        return cls(
            step=step,
            rows=rows,
            responses=held["responses"],
            seconds=[metrics.get("generate_sequences") for metrics in held["metrics"]],
            prompts={
                uid: {name: values[place] for name, values in prompts.items()}
                for place, uid in enumerate(first)
            },
        )

    def complete(self, batch: KVBatchMeta, credit: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Add what the updated rows of `batch` got since; padding among them is left out."""
        keys = [key for key in batch.keys if key in self.rows.updated]
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
