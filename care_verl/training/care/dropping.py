"""Rows without an advantage leave the queue before any forward pass; a few stay as padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import transfer_queue as tq
from torch import Tensor
from transfer_queue import KVBatchMeta

from care_verl.platform.places import TRAINER
from care_verl.platform.seam import Seam
from care_verl.training.care.step_rows import StepRows
from care_verl.training.queue_rows import clear_masks, copy_as_padding

RELIES_ON = (
    Seam(
        f"{TRAINER}._compute_metrics",
        "padding is told by a tag",
        'tag.get("is_padding", False)',
        '"response_mask"',
        '"advantages"',
        '"returns"',
    ),
)


def drop_rows(
    batch: KVBatchMeta, rows: StepRows, advantage: Tensor, multiple: int
) -> tuple[KVBatchMeta, dict[str, int]]:
    """Keep the rows with an advantage, [B], and padding up to a multiple; clear the others.

    Padding is real rows with cleared masks: the shortest dropped ones, and copies of the shortest
    kept one where too few were dropped. Also returned: response length of each padding row by key.
    """
    partition = batch.partition_id
    updated = advantage.nonzero().flatten().tolist()
    padding = padding_rows(advantage, [tag["seq_len"] for tag in rows.tags], multiple)
    # verl takes its metrics over rows that are no padding, and fails where there are none.
    as_padding = {"is_padding": bool(updated)}
    clear_masks(
        partition,
        [rows.keys[i] for i in padding],
        [rows.masks[i] for i in padding],
        as_padding,
    )
    going_on = [*updated, *padding]
    _clear_others(rows, going_on, partition)

    keys = [rows.keys[i] for i in going_on]
    tags: list[dict[str, Any]] = [{**rows.tags[i], "is_padding": False} for i in updated]
    tags += [{**rows.tags[i], **as_padding} for i in padding]
    lengths = {rows.keys[i]: len(rows.masks[i]) for i in padding}
    missing = -len(keys) % multiple
    if missing:
        shortest = min(going_on, key=lambda i: rows.tags[i]["seq_len"])
        copies = copy_as_padding(partition, rows.keys[shortest], rows.tags[shortest], missing)
        keys, tags = keys + copies.keys, tags + copies.tags
        lengths |= {key: len(rows.masks[shortest]) for key in copies.keys}
    kept = KVBatchMeta(partition_id=partition, keys=keys, tags=tags, extra_info=batch.extra_info)
    return kept, lengths


def padding_rows(advantage: Tensor, lengths: Sequence[int], multiple: int) -> list[int]:
    """Dropped rows, shortest first, that fill the kept ones up to a multiple; at least one row.

    advantage: [B]; lengths: B row lengths in tokens. May be fewer than needed where few rows were
    dropped.
    """
    dropped = [i for i, value in enumerate(advantage.tolist()) if value == 0]
    kept = len(lengths) - len(dropped)
    wanted = -kept % multiple if kept else multiple
    return sorted(dropped, key=lambda i: (lengths[i], i))[:wanted]


def _clear_others(rows: StepRows, going_on: Sequence[int], partition: str) -> None:
    dropped = sorted(set(rows.keys) - {rows.keys[i] for i in going_on})
    if dropped:
        tq.kv_clear(keys=dropped, partition_id=partition)
