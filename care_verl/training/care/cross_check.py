"""Comparing harvested embeddings with the actor's own (`algorithm.care.embedding.cross_check`)."""

from __future__ import annotations

import torch
import transfer_queue as tq
from torch import Tensor
from torch.nn.functional import normalize
from transfer_queue import KVBatchMeta

from care_verl.algorithm.groups import ORIGINAL
from care_verl.training.care.row import CareRow
from care_verl.training.care.step_rows import StepRows
from care_verl.training.fields import ORACLE, RATIONALE_RANGE
from care_verl.training.queue_rows import put_by_key


def rationale_range(record: CareRow, prompt_len: int, response_len: int) -> Tensor:
    """int64 [2]: the pooled positions in prompt + response, half-open.

    The last response token was never fed to the rollout engine and has no hidden state there;
    a reflection was not harvested, its range is empty.
    """
    if record.reflected_from != ORIGINAL or record.spans.rationale is None:
        return torch.tensor([0, 0])
    start, stop = record.spans.rationale
    return torch.tensor([prompt_len + start, prompt_len + min(stop, response_len - 1)])


def put_ranges(batch: KVBatchMeta, rows: StepRows) -> KVBatchMeta:
    """Write the oracle's input for the rows of `batch`; copies made for padding pool nothing."""
    by_key = {
        key: rationale_range(record, tag["prompt_len"], tag["response_len"])
        for key, record, tag in zip(rows.keys, rows.records, rows.tags, strict=True)
    }
    nothing = torch.tensor([0, 0])
    return put_by_key(
        batch, {key: {RATIONALE_RANGE: by_key.get(key, nothing)} for key in batch.keys}
    )


def measured_distance(batch: KVBatchMeta, rows: StepRows) -> dict[str, float]:
    """Metrics of the distance between both sides, over the rows of `batch` that have both."""
    oracle = tq.kv_batch_get(
        keys=batch.keys, partition_id=batch.partition_id, select_fields=[ORACLE]
    )[ORACLE]
    harvested = dict(zip(rows.keys, rows.embedding, strict=True))
    pairs = [
        (harvested[key], row)
        for key, row in zip(batch.keys, oracle.unbind(), strict=True)
        if key in harvested
    ]
    return embedding_distance(
        torch.stack([ours for ours, _ in pairs]), torch.stack([theirs for _, theirs in pairs])
    )


def embedding_distance(harvested: Tensor, oracle: Tensor) -> dict[str, float]:
    """Cosine distances of rows [B, H] that both sides pooled (others are zero and left out)."""
    pooled = (harvested.norm(dim=1) > 0) & (oracle.norm(dim=1) > 0)
    metrics = {"care/embedding/cross_checked": float(pooled.sum())}
    if not pooled.any():
        return metrics
    mine = normalize(harvested[pooled].double(), dim=1)
    theirs = normalize(oracle[pooled].double(), dim=1)
    distance = 1 - (mine * theirs).sum(1)
    return metrics | {
        "care/embedding/distance_max": float(distance.max()),
        "care/embedding/distance_mean": float(distance.mean()),
    }
