"""Trainers without workers, made without their constructors, and the configuration they read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta

from care_verl.algorithm import CareConfig
from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.training.care.step import CareStep
from care_verl.training.care.trainer import CareTrainer
from care_verl.training.fields import CARE, EMBEDDING
from care_verl.training.grpo_care.trainer import GrpoCareTrainer

from .samples import MemoryQueue, record


def care_trainer(config: Any, **attributes: Any) -> Any:
    trainer: Any = object.__new__(CareTrainer)
    trainer.config = config
    trainer.settings = CareConfig(K=2)
    trainer.timing_raw = {}
    trainer.logger = None
    trainer.use_reference_policy = True
    for name, value in attributes.items():
        setattr(trainer, name, value)
    return trainer


def step_of(metrics: dict[str, float], rows: Any = None) -> CareStep:
    """A step of which only metrics, and perhaps rows, are known."""
    return CareStep(rows=rows, result=cast(Any, None), credit={}, metrics=metrics)


def batch_config(**settings: int | bool) -> Any:
    values = {"rows": 32, "mini": 8, "dynamic": False, "micro": 8, "rollout": 6, "ref": 5}
    values |= settings
    return OmegaConf.create(
        {
            "data": {"train_batch_size": values["rows"]},
            "actor_rollout_ref": {
                "actor": {
                    "ppo_mini_batch_size": values["mini"],
                    "ppo_micro_batch_size_per_gpu": values["micro"],
                    "use_dynamic_bsz": values["dynamic"],
                },
                "rollout": {"log_prob_micro_batch_size_per_gpu": values["rollout"]},
                "ref": {"log_prob_micro_batch_size_per_gpu": values["ref"]},
            },
        }
    )


def workers(answer: dict[str, Any] | None = None) -> Any:
    """The actor's worker group on four ranks of two data-parallel groups."""
    sent: list[KVBatchMeta] = []

    def update_actor(batch: KVBatchMeta) -> dict[str, Any]:
        sent.append(batch)
        return {"metrics": dict(answer or {})}

    return SimpleNamespace(
        _dispatch_info={},
        _query_dispatch_info=lambda mesh: {"actor": [0, 0, 1, 1]}[mesh],
        update_actor=update_actor,
        sent=sent,
    )


def sampled(queue: MemoryQueue) -> KVBatchMeta:
    """A mixed group with a successful reflection and an all-right group, all in the queue."""
    group = [
        ("u_0_0", record(0, 1.0), [1.0, 0.0]),
        ("u_1_0", record(1, 0.0), [0.8, 0.6]),
        ("u_2_0", record(2, 0.0), [0.0, 1.0]),
        ("u_3_0", record(3, 1.0, reflected_from=1), None),
        ("v_0_0", record(0, 1.0), [1.0, 0.0]),
        ("v_1_0", record(1, 1.0), [1.0, 0.0]),
    ]
    for key, row, embedding in group:
        extra: dict[str, Any] = {CARE: row.to_mapping()}
        if embedding is not None:
            extra[EMBEDDING] = np.asarray(embedding, dtype=np.float32)
        mask = torch.ones(8, dtype=torch.int64)
        queue.rows[key] = {"extra_fields": extra, "response_mask": mask, "loss_mask": mask}
    tags = [{"prompt_len": 2, "response_len": 8, "seq_len": 10} for _ in group]
    return KVBatchMeta(partition_id="train", keys=[key for key, _, _ in group][::-1], tags=tags)


def bare_trainer(**attributes: Any) -> Any:
    trainer: Any = object.__new__(GrpoCareTrainer)
    trainer.settings, trainer._step = GrpoCareConfig(), None
    for name, value in attributes.items():
        setattr(trainer, name, value)
    return trainer
