"""The trainer of a method that updates on every row of a step.

verl's own step runs unchanged around it; rows come in the order of their prompts, and missing ones
are copies of real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta

from care_verl.methods import Method
from care_verl.training.batching import data_parallel_size, deal_order
from care_verl.training.judged_row import JudgedRow
from care_verl.training.queue_rows import copy_as_padding, place_of, plain
from care_verl.training.recording.held_step import RecordedRows
from care_verl.training.run.row_fields import Fields, padding_fields
from care_verl.training.run.trainers.base import RunTrainer
from care_verl.training.sampled_rows import SampledRows, reports_of, require_rows


class WholeStepTrainer(RunTrainer):
    """Subclasses compute advantages, of rows that are no padding, and put and record them."""

    def _balance_batch(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        logging_prefix: str = "global_seqlen",
        keep_minibatch: bool = False,
    ) -> KVBatchMeta:
        """verl's, on rows in the order of their prompts, padded with real ones where some miss."""
        name = self.method.name
        metrics[f"{name}/queue/rows"] = float(self._left_in_queue)
        metrics[f"{name}/groups/failed"] = float(self._num_failed_groups)
        batch.reorder(sorted(range(len(batch)), key=lambda i: place_of(batch.keys[i])))
        ranks = data_parallel_size(self.actor_rollout_wg)
        batch = _padded(batch, self._get_required_batch_multiple(ranks))
        batch = super()._balance_batch(batch, metrics, logging_prefix, keep_minibatch)
        is_padding = [bool(tag.get("is_padding")) for tag in batch.tags]
        if any(is_padding):
            workers = self.config.actor_rollout_ref
            mini_batch = int(workers.actor.ppo_mini_batch_size) * int(workers.rollout.n)
            batch.reorder(deal_order(is_padding, ranks, max(1, len(batch) // mini_batch)))
        return batch

    def _record(self, batch: KVBatchMeta, rows: RecordedRows, credit: Mapping[str, Fields]) -> None:
        """Read a step whose advantages are in the queue, for its record."""
        if self._recorder is not None:
            self._recorder.begin(self.global_steps, batch.partition_id, rows, self.timing_raw)
            self._recorder.complete(batch, credit, self.timing_raw)


def judged_rows(batch: KVBatchMeta, method: Method) -> SampledRows[JudgedRow]:
    """The rows of a step that are no padding, from the queue.

    Raises RuntimeError when no rollout arrived at all.
    """
    require_rows(batch.keys)
    keys = [batch.keys[i] for i in real_rows(batch)]
    data = tq.kv_batch_get(
        keys=keys,
        partition_id=batch.partition_id,
        select_fields=["extra_fields", "response_mask"],
    )
    extra_fields = [plain(value) for value in data["extra_fields"]]
    return SampledRows(
        keys=keys,
        records=[JudgedRow.from_mapping(fields[method.name]) for fields in extra_fields],
        masks=list(data["response_mask"].unbind()),
        reports=reports_of(extra_fields),
    )


def padding_of(batch: KVBatchMeta) -> dict[str, Fields]:
    """The fields of padding rows, by key."""
    return {
        key: padding_fields(int(tag["response_len"]))
        for key, tag in zip(batch.keys, batch.tags, strict=True)
        if tag.get("is_padding")
    }


def real_rows(batch: KVBatchMeta) -> list[int]:
    """Places of the rows that are no padding, in the order of prompts and sessions."""
    real = [i for i, tag in enumerate(batch.tags) if not tag.get("is_padding")]
    return sorted(real, key=lambda i: place_of(batch.keys[i]))


def _padded(batch: KVBatchMeta, multiple: int) -> KVBatchMeta:
    """The batch and copies of its shortest row, with cleared masks, up to a multiple."""
    missing = -len(batch) % multiple
    if not missing or not len(batch):
        return batch
    shortest = min(range(len(batch)), key=lambda i: batch.tags[i]["seq_len"])
    copies = copy_as_padding(
        batch.partition_id, batch.keys[shortest], batch.tags[shortest], missing
    )
    return KVBatchMeta(
        partition_id=batch.partition_id,
        keys=batch.keys + copies.keys,
        tags=batch.tags + copies.tags,
        extra_info=batch.extra_info,
    )
