"""One step of a CARE run: a stage between sampling and the first forward pass.

Sampled rows get their advantages at once; rows of zero advantage are dropped before old and
reference log-probabilities and the update, which is what makes CARE cheaper than GRPO at the
same G. What surrounds the steps of a run is in `run_trainer`.
"""

from __future__ import annotations

from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.utils.debug import marked_timer
from verl.utils.metric import reduce_metrics
from verl.utils.py_functional import rename_dict

from care_verl.logs import logger_of
from care_verl.training.batching import data_parallel_size, num_mini_batches, rows_multiple
from care_verl.training.care.capture import StepCapture
from care_verl.training.care.columns import care_rows
from care_verl.training.care.cross_check import measured_distance, put_ranges
from care_verl.training.care.dropping import deal_order, drop_rows
from care_verl.training.care.log_prob_parity import checked_parity
from care_verl.training.care.policy_loss import clip_rate, skipped_updates
from care_verl.training.care.sampling import two_distributions
from care_verl.training.care.step import StepRows
from care_verl.training.care.token_credit import Fields, credit_fields, no_credit, unpaid_answers
from care_verl.training.care.wiring import TRAINER_MODE, care_config
from care_verl.training.care.worker import CareActorRolloutRefWorker
from care_verl.training.queue_rows import plain, put_by_key
from care_verl.training.run.trainer import RunTrainer
from care_verl.training.run.verl_metrics import UPDATED, put_right

logger = logger_of(__name__)


@register_trainer(TRAINER_MODE)
class CareTrainer(RunTrainer):
    """`trainer.v1.trainer_mode=care_verl_plugin`, chosen by `algorithm.adv_estimator=care`."""

    worker_class = CareActorRolloutRefWorker

    _capture: StepCapture | None = None

    def __init__(self, config: DictConfig) -> None:
        super().__init__(config)
        self.care = care_config(config)
        self._records = self.care.records
        self._rows: StepRows | None = None
        self._credit: dict[str, Fields] = {}

    def _balance_batch(
        self, batch: KVBatchMeta, metrics: dict[str, Any], *args: Any, **kwargs: Any
    ) -> KVBatchMeta:
        """verl's first step after sampling. Before it: advantages for all rows, then the drop."""
        with marked_timer("care", self.timing_raw, color="brown"):
            batch = self._assign_and_drop(batch)
        metrics.update(self._all_rows_metrics)
        metrics["care/queue/rows"] = float(self._left_in_queue)
        batch = super()._balance_batch(batch, metrics, *args, **kwargs)
        is_padding = [bool(tag["is_padding"]) for tag in batch.tags]
        ranks = data_parallel_size(self.actor_rollout_wg)
        batch.reorder(deal_order(is_padding, ranks, num_mini_batches(self.config)))
        return batch

    def _assign_and_drop(self, batch: KVBatchMeta) -> KVBatchMeta:
        rows = self._rows = self._read_rows(batch)
        result = rows.advantages(self.care)
        self._dump_all_rows(batch)
        updated = result.advantage.nonzero().flatten().tolist()
        credit, without_weight = credit_fields(rows, result.advantage, updated, self.care)
        if self.care.capture.step and self.care.capture.step == self.global_steps:
            self._capture = StepCapture.of(batch.partition_id, rows, result)
        if self._recorder is not None:
            told = care_rows(rows, result, self.care)
            self._recorder.begin(self.global_steps, batch.partition_id, told, self.timing_raw)
        self._all_rows_metrics = rows.metrics(result, self.care)
        self._all_rows_metrics["care/rows/without_weight"] = float(without_weight)
        self._all_rows_metrics["care/rows/unpaid_answer"] = float(unpaid_answers(rows, credit))
        self._all_rows_metrics["care/groups/failed"] = float(self._num_failed_groups)
        self._all_rows_metrics["care/groups/failed_embedding"] = float(self._num_without_embedding)

        multiple = self._get_required_batch_multiple(data_parallel_size(self.actor_rollout_wg))
        kept, padding = drop_rows(batch, rows, result.advantage, multiple)
        self._credit = credit | {key: no_credit(length) for key, length in padding.items()}
        return kept

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

    def _log_rollout_data(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `_dump_all_rows` wrote them while the dropped rows were still there."""

    def _get_required_batch_multiple(self, dp_size: int) -> int:
        return rows_multiple(self.config, dp_size, self.use_reference_policy)

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        assert self._rows is not None
        cross_check = self.care.embedding.cross_check
        if cross_check:
            put_ranges(batch, self._rows)
        batch = super()._compute_old_log_prob(batch, metrics)
        if cross_check:
            metrics.update(measured_distance(batch, self._rows))
        if two_distributions(self.config.actor_rollout_ref.rollout) is None:
            metrics.update(checked_parity(batch, self._rows, self.care.parity, self.global_steps))
        return batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """Write the per-token advantages, which are known since the drop."""
        batch = put_by_key(batch, self._credit)
        if self._recorder is not None:
            self._recorder.complete(batch, self._credit, self.timing_raw)
        if self._capture is not None:
            path = self._capture.write(
                batch, self._credit, self.config, self.care, self.global_steps
            )
            logger.info("wrote all rows of step %d to %s", self.global_steps, path)
            self._capture = None
        return batch

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """One pass of optimizer steps over S*; none where S* is empty."""
        if not self._all_rows_metrics["care/rows/updated"]:
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
        assert self._rows is not None
        put_right(metrics, self._rows.prompt_tokens, self._rows.response_tokens)
        if not self._all_rows_metrics["care/rows/updated"]:
            # They are of padding.
            for name in [name for name in metrics if name.startswith(UPDATED)]:
                del metrics[name]
        super()._put_right(metrics)
