"""Operations on rows in verl's TransferQueue that verl does not offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import torch
import transfer_queue as tq
from tensordict import NonTensorData, TensorDict
from transfer_queue import KVBatchMeta
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

MASKS = ("response_mask", "loss_mask")


def plain(value: Any) -> Any:
    """A value as it was put: what is no tensor comes back wrapped from some calls, bare from
    others.
    """
    return value.data if isinstance(value, NonTensorData) else value


def clear_masks(
    partition_id: str, keys: Sequence[str], masks: Sequence[torch.Tensor], tag: Mapping[str, Any]
) -> None:
    """Zero the masks of padding rows, whose response masks [T] are given: they count nowhere.

    `tag` is added to each row's: what only a batch's copy of the tags says, the next write to the
    queue forgets.
    """
    if not keys:
        return
    fields = [{name: torch.zeros_like(mask) for name in MASKS} for mask in masks]
    tq.kv_batch_put(
        keys=list(keys),
        partition_id=partition_id,
        fields=list_of_dict_to_tensordict(fields),
        tags=[dict(tag) for _ in keys],
    )


def copy_as_padding(partition_id: str, key: str, tag: Mapping[str, Any], count: int) -> KVBatchMeta:
    """`count` copies of a row under new keys, masks cleared and tagged as padding.

    verl's own padding is synthetic text without an image, which a vision-language model scores by
    way of an empty one; real rows are what the model is used to.
    """
    row: TensorDict = tq.kv_batch_get(keys=[key], partition_id=partition_id)[0]
    sample = dict(row.items())
    sample.update({name: torch.zeros_like(sample[name]) for name in MASKS})
    name = f"pad{uuid4().hex}"
    batch: KVBatchMeta = tq.kv_batch_put(
        keys=[f"{name}_{i}_0" for i in range(count)],
        partition_id=partition_id,
        fields=list_of_dict_to_tensordict([dict(sample) for _ in range(count)]),
        tags=[{**tag, "is_padding": True} for _ in range(count)],
    )
    return batch


def put_by_key(
    batch: KVBatchMeta, fields_by_key: Mapping[str, Mapping[str, torch.Tensor]]
) -> KVBatchMeta:
    """Write each row's fields in the order of `batch`; the result knows the new fields."""
    fields = [dict(fields_by_key[key]) for key in batch.keys]
    updated: KVBatchMeta = tq.kv_batch_put(
        keys=batch.keys,
        partition_id=batch.partition_id,
        fields=list_of_dict_to_tensordict(fields),
        tags=batch.tags,
    )
    return updated


def group_of(key: str) -> str:
    """The prompt's id in the key of a row, `{uid}_{session}_{index}`."""
    return key.rsplit("_", 2)[0]


def place_of(key: str) -> tuple[str, int, int]:
    """Sorts rows by prompt, session and place in it."""
    uid, session, index = key.rsplit("_", 2)
    return uid, int(session), int(index)


def rows_in_queue() -> int:
    """Keys in all partitions of the queue, prompts included."""
    return sum(len(keys) for keys in (tq.kv_list() or {}).values())
