"""verl's synchronous trainer with CARE's stage between sampling and the first forward pass.

Sampled rows get their advantages at once; rows of zero advantage are dropped before old and
reference log-probabilities and the update, which is what makes CARE cheaper than GRPO at the
same G.
"""

from __future__ import annotations

import math
from typing import Any

import ray
import transfer_queue as tq
from omegaconf import DictConfig, open_dict
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils.debug import marked_timer
from verl.utils.metric import reduce_metrics
from verl.utils.py_functional import rename_dict
from verl.workers.engine_workers import ActorRolloutRefWorker

from care_verl.training.configuration import care_config
from care_verl.training.cross_check import measured_distance, put_ranges
from care_verl.training.dropping import deal_order, drop_rows
from care_verl.training.liveness import ActorPings, check_while_polling, named
from care_verl.training.policy_loss import clip_rate
from care_verl.training.queue_rows import put_by_key
from care_verl.training.rows import StepRows
from care_verl.training.token_credit import Fields, credit_fields, no_credit
from care_verl.training.worker import CareActorRolloutRefWorker

POLL_SECONDS = 0.05
"""verl's replay buffer sleeps 2 s between looks; a small model decodes a batch in less."""


class CareTrainer(PPOTrainerSync):  # type: ignore[misc]
    """`trainer.v1.trainer_mode=care_verl_plugin`, chosen by `algorithm.adv_estimator=care`."""

    def __init__(self, config: DictConfig) -> None:
        # Any other name than "sync" selects the asynchronous replay buffer and its checks.
        with open_dict(config):
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        self.care = care_config(config)
        self.replay_buffer.poll_interval = POLL_SECONDS
        self._rows: StepRows | None = None
        self._credit: dict[str, Fields] = {}
        self._all_rows_metrics: dict[str, float] = {}

    def _setup(self) -> None:
        from care_verl.rollout.replica import register_replica

        register_replica()
        super()._setup()

    def fit(self, agent_loop_manager: Any) -> None:
        """verl's loop; a rollout actor that dies ends it with that as the error."""
        from care_verl.rollout.watchdog import RolloutWatchdog

        servers = self.llm_server_manager
        watchdog = RolloutWatchdog(
            dict(zip(servers.server_addresses, servers.server_handles, strict=True)),
            self.actor_rollout_wg.workers,
        )
        pings = ActorPings(
            named("agent-loop worker", agent_loop_manager.agent_loop_workers)
            | named("reward worker", self.get_reward_handles())
        )
        check_while_polling(self.replay_buffer, watchdog.check)
        check_while_polling(self.replay_buffer, pings.check)
        with watchdog.explaining():
            super().fit(agent_loop_manager)

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        worker = ray.remote(CareActorRolloutRefWorker)
        for role, actor_class in self.role_worker_mapping.items():
            if _plain_class(actor_class) is ActorRolloutRefWorker:
                self.role_worker_mapping[role] = worker

    def _balance_batch(
        self, batch: KVBatchMeta, metrics: dict[str, Any], *args: Any, **kwargs: Any
    ) -> KVBatchMeta:
        """verl's first step after sampling. Before it: advantages for all rows, then the drop."""
        with marked_timer("care", self.timing_raw, color="brown"):
            batch = self._assign_and_drop(batch)
        metrics.update(self._all_rows_metrics)
        batch = super()._balance_batch(batch, metrics, *args, **kwargs)
        is_padding = [bool(tag["is_padding"]) for tag in batch.tags]
        batch.reorder(deal_order(is_padding, self._data_parallel_size(), self._num_mini_batches()))
        return batch

    def _assign_and_drop(self, batch: KVBatchMeta) -> KVBatchMeta:
        rows = self._rows = self._read_rows(batch)
        result = rows.advantages(self.care)
        self._dump_all_rows(batch)
        updated = result.advantage.nonzero().flatten().tolist()
        credit, without_weight = credit_fields(rows, result.advantage, updated, self.care)
        self._all_rows_metrics = rows.metrics(result, self.care)
        self._all_rows_metrics["care/rows/without_weight"] = float(without_weight)

        multiple = self._get_required_batch_multiple(self._data_parallel_size())
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
        extra_fields = [getattr(value, "data", value) for value in data["extra_fields"]]
        return StepRows.of(batch.keys, batch.tags, extra_fields, masks)

    def _dump_all_rows(self, batch: KVBatchMeta) -> None:
        folder = self.config.trainer.get("rollout_data_dir", None)
        if folder:
            super()._log_rollout_data(batch, self.timing_raw, folder)

    def _log_rollout_data(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `_dump_all_rows` wrote them while the dropped rows were still there."""

    def _data_parallel_size(self) -> int:
        dispatch = self.actor_rollout_wg._dispatch_info
        if "actor" not in dispatch:
            dispatch["actor"] = self.actor_rollout_wg._query_dispatch_info("actor")
        return int(max(dispatch["actor"])) + 1

    def _get_required_batch_multiple(self, dp_size: int) -> int:
        """Rows must divide into ranks and mini-batches, and into fixed micro-batches if any."""
        config = self.config.actor_rollout_ref
        sizes = [self._num_mini_batches()]
        if not config.actor.use_dynamic_bsz:
            sizes = [sizes[0] * config.actor.ppo_micro_batch_size_per_gpu]
            sizes += [config.rollout.log_prob_micro_batch_size_per_gpu]
            if self.use_reference_policy:
                sizes += [config.ref.log_prob_micro_batch_size_per_gpu]
        return dp_size * math.lcm(*(int(size) for size in sizes))

    def _num_mini_batches(self) -> int:
        """Optimizer steps an epoch: as many as verl makes of the rows before the drop."""
        actor = self.config.actor_rollout_ref.actor
        return max(1, int(self.config.data.train_batch_size) // int(actor.ppo_mini_batch_size))

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        if not self.care.embedding.cross_check:
            return super()._compute_old_log_prob(batch, metrics)
        assert self._rows is not None
        put_ranges(batch, self._rows)
        batch = super()._compute_old_log_prob(batch, metrics)
        metrics.update(measured_distance(batch, self._rows))
        return batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """Write the per-token advantages, which are known since the drop."""
        return put_by_key(batch, self._credit)

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
                "num_mini_batch": self._num_mini_batches(),
                "epochs": actor.ppo_epochs,
                "seed": actor.data_loader_seed,
                "dataloader_kwargs": {"shuffle": actor.shuffle},
                "temperature": self.config.actor_rollout_ref.rollout.temperature,
            }
        )
        output: TensorDict = self.actor_rollout_wg.update_actor(batch)
        collected = rename_dict(output["metrics"], "actor/")
        collected["perf/mfu/actor"] = collected.pop("actor/mfu")
        metrics.update(clip_rate(reduce_metrics(collected)))
        return batch

    def _compute_metrics(
        self, batch: KVBatchMeta, metrics: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        """verl's metrics see only the rows that were kept; scores and lengths are of all rows."""
        super()._compute_metrics(batch, metrics, *args, **kwargs)
        metrics.update(self._all_rows_metrics)


def _plain_class(actor_class: Any) -> type:
    """The class behind a Ray actor class."""
    plain: type = actor_class.__ray_metadata__.modified_class.__ray_actor_class__
    return plain
