"""One step of a GRPO-CARE run: GRPO's, with a bonus for consistent answers in its advantages.

verl's own step runs unchanged; the reference scores every row as for a KL penalty, which there is
none of. What surrounds the steps of a run is in `run.trainer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer

from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.common.logs import logger_of
from care_verl.methods.grpo_care import GRPO_CARE
from care_verl.platform.places import TRAINER
from care_verl.platform.seam import Seam
from care_verl.training.grpo_care.columns import grpo_care_rows
from care_verl.training.grpo_care.step import (
    ScoredStep,
    log_prob_distance,
)
from care_verl.training.grpo_care.wiring import TRAINER_MODE
from care_verl.training.grpo_care.worker import GrpoCareActorRolloutRefWorker
from care_verl.training.queue_rows import plain, put_by_key
from care_verl.training.run.row_fields import Fields, padding_fields
from care_verl.training.run.trainers.whole_step import WholeStepTrainer, real_rows

logger = logger_of(__name__)


RELIES_ON = (
    Seam(
        "verl.trainer.ppo.utils:need_reference_policy",
        "a reference is wanted where a KL term is",
        'config.algorithm.get("use_kl_in_reward", False)',
        "actor.use_kl_loss",
    ),
    Seam(
        f"{TRAINER}.__init__",
        "the need of a reference is decided when the trainer is made",
        "self.use_reference_policy = need_reference_policy(self.config)",
    ),
    Seam(
        f"{TRAINER}._init_resource_pool_mgr",
        "the need of a reference is decided when roles are given",
        "Role.ActorRolloutRef if need_reference_policy(config) and not ref_in_actor",
        "ray.remote(ActorRolloutRefWorker)",
    ),
    Seam(
        f"{TRAINER}._setup",
        "the models are there before a checkpoint is loaded",
        "self.actor_rollout_wg.init_model()",
        "self.ref_policy_wg = all_wg[str(actor_role)]",
        "self._load_checkpoint()",
    ),
    Seam(
        f"{TRAINER}._step_once",
        "a step scores by the reference before advantages",
        "self._balance_batch(batch, metrics=metrics)",
        "if self.use_reference_policy:",
        "self._compute_ref_log_prob(batch, metrics=metrics)",
        "self._compute_advantage(batch, metrics=metrics)",
        "self._update_actor(batch, metrics=metrics)",
    ),
    Seam(
        f"{TRAINER}._compute_ref_log_prob",
        "the reference's log-probabilities are put by row",
        "self.ref_policy_wg.compute_ref_log_prob(batch)",
        'data["ref_log_prob"] = response_from_nested(',
        'fields=data.select("ref_log_prob")',
    ),
    Seam(
        f"{TRAINER}._compute_advantage",
        "what verl's own advantages put",
        'fields = ["advantages", "returns"]',
        "batch = tq.kv_batch_put(",
    ),
    Seam(
        f"{TRAINER}._log_rollout_data",
        "rollouts are dumped with their keys",
        '{"uid": [batch.keys[i]',
        "reward_extra_infos_dict=reward_extra_infos_dict",
    ),
    Seam(
        f"{TRAINER}._validate",
        "validation rows are dumped with their keys",
        "self._dump_generations(",
        "reward_extra_infos_dict={",
        '"uid": dump_all_keys',
    ),
)


@register_trainer(TRAINER_MODE)
class GrpoCareTrainer(WholeStepTrainer):
    """`trainer.v1.trainer_mode=care_verl_plugin_grpo_care`, chosen by the estimator `grpo_care`."""

    method = GRPO_CARE
    worker_class = GrpoCareActorRolloutRefWorker

    settings: GrpoCareConfig

    def __init__(self, config: DictConfig) -> None:
        with _asking_for_a_reference(config):
            super().__init__(config)
        self._step: ScoredStep | None = None

    def _init_resource_pool_mgr(self) -> None:
        with _asking_for_a_reference(self.config):
            super()._init_resource_pool_mgr()

    def _load_checkpoint(self) -> None:
        self.actor_rollout_wg.follow_policy(self.settings.to_mapping())
        super()._load_checkpoint()

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """Replaces verl's advantage, which knows no reference model."""
        columns = ["extra_fields", "response_mask", "ref_log_prob", "old_log_probs"]
        data = tq.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=columns
        )
        extra_fields = [plain(value) for value in data["extra_fields"]]
        masks, reference, old = (list(data[name].unbind()) for name in columns[1:])
        self._step, credits = self._score(batch, extra_fields, masks, reference)
        metrics.update(self._step.metrics())
        metrics["grpo_care/reference/log_prob_distance"] = log_prob_distance(old, reference, masks)
        batch = put_by_key(batch, credits)
        self._record(batch, grpo_care_rows(self._step), credits)
        return batch

    def _score(
        self,
        batch: KVBatchMeta,
        extra_fields: list[dict[str, Any]],
        masks: list[Tensor],
        reference: list[Tensor],
    ) -> tuple[ScoredStep, dict[str, Fields]]:
        """The rows with their advantages, and the fields of all rows, padding included."""
        real = real_rows(batch)
        padding = set(range(len(batch))) - set(real)
        step = ScoredStep.of(
            keys=[batch.keys[i] for i in real],
            extra_fields=[extra_fields[i] for i in real],
            masks=[masks[i] for i in real],
            ref_log_prob=[reference[i] for i in real],
            config=self.settings,
        )
        return step, step.fields() | {batch.keys[i]: padding_fields(len(masks[i])) for i in padding}

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """verl's; the workers move the reference within it."""
        batch = super()._update_actor(batch, metrics)
        state = self.actor_rollout_wg.reference_state()[0]
        if state["skipped"]:
            logger.error(
                "%d optimizer steps were skipped: the norm of their gradient is NaN or infinite",
                state["skipped"],
            )
        metrics["grpo_care/updates/skipped"] = float(state["skipped"])
        metrics["grpo_care/ema/optimizer_steps"] = float(state["optimizer_steps"])
        metrics["grpo_care/ema/updates"] = float(state["updates"])
        if state["distance"] is not None:
            metrics["grpo_care/ema/distance"] = state["distance"]
        return batch

    def _dump_generations(
        self,
        inputs: list[str],
        outputs: list[str],
        gts: list[Any],
        scores: list[float],
        reward_extra_infos_dict: dict[str, list[Any]],
        dump_path: str,
    ) -> None:
        """verl's; rows of the step that was just trained say what became of them."""
        told = self._step.told() if self._step is not None else {}
        rows = [told.get(key) for key in reward_extra_infos_dict["uid"]]
        known = next((row for row in rows if row is not None), {})
        columns = {name: [row and row[name] for row in rows] for name in known}
        told_of_all = {**reward_extra_infos_dict, **columns}
        super()._dump_generations(inputs, outputs, gts, scores, told_of_all, dump_path)


@contextmanager
def _asking_for_a_reference(config: DictConfig) -> Iterator[None]:
    """While verl decides on a reference, which it does by `use_kl_loss`."""
    actor = config.actor_rollout_ref.actor
    actor.use_kl_loss = True
    try:
        yield
    finally:
        actor.use_kl_loss = False
