"""One step of a CARE run: a stage between sampling and the first forward pass.

Sampled rows get their advantages at once; rows of zero advantage are dropped before old and
reference log-probabilities and the update, which is what makes CARE cheaper than GRPO at the
same G. What surrounds the steps of a run is in `run_trainer`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.utils.debug import marked_timer
from verl.utils.metric import reduce_metrics
from verl.utils.py_functional import rename_dict

from care_verl.algorithm import CareConfig
from care_verl.methods.care import CARE
from care_verl.platform.places import ENGINE, TRAINER
from care_verl.platform.seam import Seam
from care_verl.training.batching import (
    data_parallel_size,
    deal_order,
    num_mini_batches,
    rows_multiple,
)
from care_verl.training.care.capture import StepCapture
from care_verl.training.care.columns import care_rows
from care_verl.training.care.cross_check import measured_distance, put_ranges
from care_verl.training.care.dropping import drop_rows
from care_verl.training.care.log_prob_parity import checked_parity
from care_verl.training.care.policy_loss import clip_rate, skipped_updates
from care_verl.training.care.row import NoEmbeddingError
from care_verl.training.care.sampling import two_distributions
from care_verl.training.care.step import UPDATED as ROWS_UPDATED
from care_verl.training.care.step import CareStep
from care_verl.training.care.step_rows import StepRows
from care_verl.training.care.token_credit import no_credit
from care_verl.training.care.wiring import TRAINER_MODE
from care_verl.training.care.worker import CareActorRolloutRefWorker
from care_verl.training.queue_rows import plain, put_by_key
from care_verl.training.run.trainers.base import RunTrainer
from care_verl.training.run.verl_metrics import UPDATED, put_right

RELIES_ON = (
    Seam(
        f"{TRAINER}._step_once",
        "one step",
        "self.replay_buffer.sample(",
        "self._balance_batch(batch, metrics=metrics)",
        "self._compute_old_log_prob(batch, metrics=metrics)",
        "self._compute_ref_log_prob(batch, metrics=metrics)",
        "self._compute_advantage(batch, metrics=metrics)",
        "self._update_actor(batch, metrics=metrics)",
    ),
    Seam(
        f"{TRAINER}._balance_batch",
        "the balanced batch is padded to our multiple",
        "worker_group._query_dispatch_info(role)",
        "worker_group._dispatch_info[role]",
        "dp_size = max(dp_rank_mapping) + 1",
        "self._get_required_batch_multiple(dp_size)",
        "upsample_batch_to_divisible_size(batch, batch_multiple",
        'tag["seq_len"]',
        "batch.reorder([j for partition in global_partition_lst for j in partition])",
    ),
    Seam(
        f"{TRAINER}._update_actor",
        "what an update is told",
        '"calculate_entropy": calculate_entropy',
        '"distillation_use_topk": distillation_use_topk',
        '"distillation_only": distillation_only',
        '"epochs": self.config.actor_rollout_ref.actor.ppo_epochs',
        '"seed": self.config.actor_rollout_ref.actor.data_loader_seed',
        '"dataloader_kwargs": {"shuffle"',
        '"temperature": self.config.actor_rollout_ref.rollout.temperature',
        "self.actor_rollout_wg.update_actor(batch)",
        'rename_dict(output["metrics"], "actor/")',
        'output.pop("actor/mfu")',
        "reduce_metrics(output)",
    ),
    Seam(
        f"{TRAINER}.fit",
        "the order of a step's end",
        "self.timing_raw = {}",
        "batch = self.step(metrics, self.timing_raw)",
        "self._compute_metrics(batch, metrics, self.timing_raw",
        "self._log_rollout_data(batch, self.timing_raw, rollout_data_dir)",
        "tq.kv_clear(keys=batch.keys",
        "self.logger.log(data=metrics, step=self.global_steps)",
    ),
    Seam(
        f"{ENGINE}.optimizer_step",
        "a gradient that is not finite is not applied",
        "if not torch.isfinite(grad_norm):",
        "self.optimizer.zero_grad()",
    ),
)


@register_trainer(TRAINER_MODE)
class CareTrainer(RunTrainer):
    """`trainer.v1.trainer_mode=care_verl_plugin`, chosen by `algorithm.adv_estimator=care`."""

    method = CARE
    worker_class = CareActorRolloutRefWorker

    settings: CareConfig
    _step: CareStep
    _num_without_embedding = 0

    def __init__(self, config: DictConfig) -> None:
        super().__init__(config)
        self._captures = self.settings.capture.step > 0

    def on_sample_end(self) -> None:
        self._num_without_embedding = self._failed_groups.count(NoEmbeddingError)
        super().on_sample_end()

    def _balance_batch(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        logging_prefix: str = "global_seqlen",
        keep_minibatch: bool = False,
    ) -> KVBatchMeta:
        """verl's first step after sampling. Before it: advantages for all rows, then the drop."""
        with marked_timer("care", self.timing_raw, color="brown"):
            batch = self._assign_and_drop(batch)
        metrics.update(self._step.metrics)
        metrics["care/queue/rows"] = float(self._left_in_queue)
        batch = super()._balance_batch(batch, metrics, logging_prefix, keep_minibatch)
        is_padding = [bool(tag["is_padding"]) for tag in batch.tags]
        ranks = data_parallel_size(self.actor_rollout_wg)
        batch.reorder(deal_order(is_padding, ranks, num_mini_batches(self.config)))
        return batch

    def _assign_and_drop(self, batch: KVBatchMeta) -> KVBatchMeta:
        step = self._step = CareStep.of(self._read_rows(batch), self.settings)
        step.metrics["care/groups/failed"] = float(self._num_failed_groups)
        step.metrics["care/groups/failed_embedding"] = float(self._num_without_embedding)
        self._dump_all_rows(batch)
        self._begin_record(batch)

        multiple = self._get_required_batch_multiple(data_parallel_size(self.actor_rollout_wg))
        kept, padding = drop_rows(batch, step.rows, step.result.advantage, multiple)
        step.credit |= {key: no_credit(length) for key, length in padding.items()}
        return kept

    def _begin_record(self, batch: KVBatchMeta) -> None:
        if self._recorder is None:
            return
        told = care_rows(self._step, self.settings)
        if self.settings.capture.step == self.global_steps:
            capture = StepCapture.of(
                batch.partition_id, self._step, self.config, self.settings, self.global_steps
            )
            told = replace(told, tensors=capture)
        self._recorder.begin(self.global_steps, batch.partition_id, told, self.timing_raw)

    def _read_rows(self, batch: KVBatchMeta) -> StepRows:
        if not batch.keys:
            return StepRows.of([], [], [], [])
        data = tq.kv_batch_get(
            keys=batch.keys,
            partition_id=batch.partition_id,
            select_fields=["extra_fields", "response_mask"],
        )
        masks = list(data["response_mask"].unbind())
        extra_fields = [plain(value) for value in data["extra_fields"]]
        return StepRows.of(batch.keys, batch.tags, extra_fields, masks)

    def _dump_all_rows(self, batch: KVBatchMeta) -> None:
        folder = self.config.trainer.get("rollout_data_dir", None)
        if folder:
            super()._log_rollout_data(batch, self.timing_raw, folder)

    def _log_rollout_data(
        self, batch: KVBatchMeta, timing_raw: dict[str, float], rollout_data_dir: str
    ) -> None:
        """Nothing: `_dump_all_rows` wrote them while the dropped rows were still there."""

    def _get_required_batch_multiple(self, dp_size: int) -> int:
        return rows_multiple(self.config, dp_size, self.use_reference_policy)

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        rows, cross_check = self._step.rows, self.settings.embedding.cross_check
        if cross_check:
            put_ranges(batch, rows)
        batch = super()._compute_old_log_prob(batch, metrics)
        if cross_check:
            metrics.update(measured_distance(batch, rows))
        if two_distributions(self.config.actor_rollout_ref.rollout) is None:
            metrics.update(checked_parity(batch, rows, self.settings.parity, self.global_steps))
        return batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """Write the per-token advantages, which are known since the drop."""
        batch = put_by_key(batch, self._step.credit)
        if self._recorder is not None:
            self._recorder.complete(batch, self._step.credit, self.timing_raw)
        return batch

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """One pass of optimizer steps over S*; none where S* is empty."""
        if not self._step.metrics[ROWS_UPDATED]:
            return batch
        actor = self.config.actor_rollout_ref.actor
        batch.extra_info.update(
            {
                "calculate_entropy": actor.calculate_entropy or actor.entropy_coeff != 0.0,
                "distillation_use_topk": False,
                "distillation_only": False,
                "num_mini_batch": num_mini_batches(self.config),
                "epochs": actor.ppo_epochs,
                "seed": actor.data_loader_seed,
                "dataloader_kwargs": {"shuffle": actor.shuffle},
                "temperature": self.config.actor_rollout_ref.rollout.temperature,
            }
        )
        output: TensorDict = self.actor_rollout_wg.update_actor(batch)
        collected = rename_dict(output["metrics"], "actor/")
        collected["perf/mfu/actor"] = collected.pop("actor/mfu")
        metrics["care/updates/skipped"] = skipped_updates(collected["actor/grad_norm"])
        metrics.update(clip_rate(reduce_metrics(collected)))
        return batch

    def _put_right(self, metrics: dict[str, Any]) -> None:
        rows = self._step.rows
        put_right(metrics, rows.prompt_tokens, rows.response_tokens)
        if not self._step.metrics[ROWS_UPDATED]:
            # They are of padding.
            for name in [name for name in metrics if name.startswith(UPDATED)]:
                del metrics[name]
        metrics.update(self._step.metrics)
