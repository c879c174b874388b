"""Rows, outputs and a queue made by hand, for tests of the adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tensordict import NonTensorData, TensorDict
from transfer_queue import KVBatchMeta
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from care_verl.algorithm import token_spans
from care_verl.algorithm.spans import TokenSpans
from care_verl.grammar import TagSpec
from care_verl.training.care.row import CareRow
from care_verl.training.care.step_rows import StepRows
from care_verl.training.fields import CARE, EMBEDDING
from care_verl.training.judged_row import JudgedRow
from care_verl.training.run.failures import CAUSE, ENDS_RUN, REPORTS

WELL_FORMED = (b"<think>", b"a", b"b", b"</think>", b"<answer>", b"7", b"</answer>", b"")
"""Eight tokens: rationale [1, 3), answer [5, 6), end of sequence at 7."""

MALFORMED = (b"no", b"tags", b"here", b"")


def spans_of(pieces: Sequence[bytes] = WELL_FORMED) -> TokenSpans:
    return token_spans(pieces, TagSpec())


def record(session: int, acc: float, **fields: Any) -> CareRow:
    """A record with reward 0.9·acc + 0.1 and the spans of `WELL_FORMED`."""
    defaults = {"reward": 0.9 * acc + 0.1, "spans": spans_of(), "logp": -1.0}
    return CareRow(session=session, acc=acc, **{**defaults, **fields})


def answered(
    session: int, acc: float, reward: float, answer: tuple[int, int] | None, **fields: Any
) -> JudgedRow:
    """A row of GRPO-CARE with the spans of `WELL_FORMED`."""
    defaults = {"spans": replace(spans_of(), answer=answer), "logp": -1.0}
    return JudgedRow(session=session, acc=acc, reward=reward, **{**defaults, **fields})


def step_rows(
    rows: Sequence[tuple[str, CareRow, Sequence[float] | None]],
    tags: Sequence[dict[str, Any]] | None = None,
    masks: Sequence[Sequence[int]] | None = None,
) -> StepRows:
    """`StepRows.of` from (uid, record, embedding) in order of arrival."""
    extra_fields: list[dict[str, Any]] = []
    for _, row, embedding in rows:
        fields: dict[str, Any] = {CARE: row.to_mapping()}
        if embedding is not None:
            fields[EMBEDDING] = np.asarray(embedding, dtype=np.float32)
        extra_fields.append(fields)
    lengths = [8] * len(rows) if masks is None else [len(mask) for mask in masks]
    plain = [{"prompt_len": 2, "response_len": length, "seq_len": 2 + length} for length in lengths]
    return StepRows.of(
        keys=[f"{uid}_{row.session}_0" for uid, row, _ in rows],
        tags=plain if tags is None else tags,
        extra_fields=extra_fields,
        masks=[
            torch.ones(length, dtype=torch.int64) if masks is None else torch.tensor(masks[i])
            for i, length in enumerate(lengths)
        ],
    )


def agent_output(response: Sequence[int], **fields: Any) -> AgentLoopOutput:
    """The output of a session as verl's single-turn loop builds it: prompt [50, 51]."""
    values: dict[str, Any] = {
        "prompt_ids": [50, 51],
        "response_ids": list(response),
        "response_mask": [1] * len(response),
        "response_logprobs": [-0.5] * len(response),
        "multi_modal_data": {"images": ["an image"]},
        "num_turns": 2,
        "metrics": AgentLoopMetrics(generate_sequences=3.0),
        "extra_fields": {"turn_scores": [], "min_global_steps": 4},
    }
    return AgentLoopOutput(**{**values, **fields})


def _plain(value: Any) -> Any:
    """A field's value as it was put in."""
    return value.data if isinstance(value, NonTensorData) else value


def nested(*rows: Sequence[float]) -> torch.Tensor:
    """Rows of float32 as verl lays them out."""
    tensors = [torch.tensor(row, dtype=torch.float32) for row in rows]
    return torch.nested.as_nested_tensor(tensors, layout=torch.jagged)


class MemoryQueue:
    """The calls of `transfer_queue` that the adapters make, in memory and in this process."""

    def __init__(self, rows: dict[str, dict[str, Any]] | None = None) -> None:
        self.rows: dict[str, dict[str, Any]] = {key: dict(row) for key, row in (rows or {}).items()}
        self.tags: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[str, str]] = []
        """What was written when: (key, "row", "cleared" or the status of a prompt)."""
        self.reports: dict[str, str] = {}
        """Causes of discarded groups, by prompt."""

    def kv_batch_put(
        self,
        keys: list[str],
        partition_id: str,
        fields: TensorDict | None = None,
        tags: list[dict[str, Any]] | None = None,
    ) -> KVBatchMeta:
        for i, key in enumerate(keys):
            row = self.rows.setdefault(key, {})
            if fields is not None:
                row.update({name: _plain(value) for name, value in fields[i].items()})
            self.tags.setdefault(key, {}).update({} if tags is None else tags[i])
        return KVBatchMeta(
            keys=keys, tags=[self.tags[key] for key in keys], partition_id=partition_id
        )

    def kv_batch_get(
        self, keys: list[str], partition_id: str, select_fields: list[str] | None = None
    ) -> TensorDict:
        rows = [self.rows[key] for key in keys]
        names = [n for n in rows[0] if select_fields is None or n in select_fields]
        return list_of_dict_to_tensordict([{name: row[name] for name in names} for row in rows])

    def kv_clear(self, keys: list[str], partition_id: str) -> None:
        for key in keys:
            del self.rows[key]
            self.tags.pop(key, None)

    async def async_kv_list(self, partition_id: str) -> dict[str, dict[str, Any]]:
        return {partition_id: {key: self.tags[key] for key in self.tags}}

    async def async_kv_clear(self, keys: list[str], partition_id: str) -> None:
        self.kv_clear(keys, partition_id)
        self.events += [(key, "cleared") for key in keys]

    async def async_kv_put(self, key: str, partition_id: str, tag: dict[str, Any]) -> None:
        if partition_id == REPORTS:
            self.reports[key] = tag[CAUSE]
            if tag.get(ENDS_RUN):
                self.events.append((key, "ends the run"))
            return
        self.tags.setdefault(key, {}).update(tag)
        self.events.append((key, str(tag.get("status", "tag"))))

    async def async_kv_batch_put(
        self, keys: list[str], fields: TensorDict, tags: list[dict[str, Any]], partition_id: str
    ) -> None:
        self.kv_batch_put(keys, partition_id, fields, [{**t, "in": partition_id} for t in tags])
        self.events += [(key, "row") for key in keys]
