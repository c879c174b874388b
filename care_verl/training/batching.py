"""How the rows of a step divide into ranks, mini-batches and micro-batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig


def num_mini_batches(config: DictConfig) -> int:
    """Optimizer steps an epoch: as many as verl makes of the rows before the drop."""
    actor = config.actor_rollout_ref.actor
    return max(1, int(config.data.train_batch_size) // int(actor.ppo_mini_batch_size))


def rows_multiple(config: DictConfig, ranks: int, use_reference: bool) -> int:
    """Rows must divide into ranks and mini-batches, and into fixed micro-batches if any."""
    workers = config.actor_rollout_ref
    sizes = [num_mini_batches(config)]
    if not workers.actor.use_dynamic_bsz:
        sizes = [sizes[0] * workers.actor.ppo_micro_batch_size_per_gpu]
        sizes += [workers.rollout.log_prob_micro_batch_size_per_gpu]
        if use_reference:
            sizes += [workers.ref.log_prob_micro_batch_size_per_gpu]
    return ranks * math.lcm(*(int(size) for size in sizes))


def data_parallel_size(worker_group: Any) -> int:
    """Data-parallel ranks of verl's actor worker group, which keeps what it was told once."""
    dispatch = worker_group._dispatch_info
    if "actor" not in dispatch:
        dispatch["actor"] = worker_group._query_dispatch_info("actor")
    return int(max(dispatch["actor"])) + 1


def deal_order(is_padding: Sequence[bool], ranks: int, mini_batches: int) -> list[int]:
    """An order of rows in which padding is spread evenly over the mini-batches of each rank.

    verl cuts a rank's rows, a contiguous share of the batch, into contiguous mini-batches; their
    number divides the share. Without dealing, padding would fill the last one.
    """
    share = len(is_padding) // ranks
    order: list[int] = []
    for rank in range(ranks):
        rows = sorted(range(rank * share, (rank + 1) * share), key=lambda i: is_padding[i])
        order += [row for start in range(mini_batches) for row in rows[start::mini_batches]]
    return order
