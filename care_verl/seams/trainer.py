"""The trainer: how it starts, and the order of a step."""

from __future__ import annotations

from care_verl.seams.places import TASK_RUNNER, TRAINER
from care_verl.seams.seam import Seam

SEAMS: tuple[Seam, ...] = (
    Seam(
        "the trainer is chosen by its mode",
        "training.hooks",
        f"{TASK_RUNNER}.run",
        fragments=("get_trainer_cls(config.trainer.v1.trainer_mode)",),
    ),
    Seam(
        "hooks.validate_config",
        "training.hooks",
        "verl.utils.config:validate_config",
        parameters="config, use_reference_policy, use_critic",
    ),
    Seam(
        "hooks.run_ppo",
        "training.hooks",
        "verl.trainer.main_ppo:run_ppo",
        parameters="config, task_runner_class",
    ),
    Seam(
        "the mode selects the replay buffer",
        "training.run.trainers.base",
        f"{TRAINER}._build_replay_buffer",
        fragments=('ReplayBuffer if self.trainer_mode == "sync" else ReplayBufferAsync',),
    ),
    Seam(
        "the trainer reads its mode once, before the buffer",
        "training.run.trainers.base",
        f"{TRAINER}.__init__",
        fragments=(
            "self.trainer_mode = self.config.trainer.v1.trainer_mode",
            "self.replay_buffer = self._build_replay_buffer()",
        ),
    ),
    Seam(
        "which actor the trainer starts",
        "training.run.trainers.base",
        f"{TRAINER}._init_resource_pool_mgr",
        fragments=("self.role_worker_mapping[role] = ray.remote(ActorRolloutRefWorker)",),
    ),
    Seam(
        "prompts are drawn in chunks and named",
        "training.run.trainers.base",
        f"{TRAINER}._fetch_one_gen_batch",
        fragments=(
            'batch_dict["uid"] = np.array([str(uuid.uuid4())',
            "return tu.get_tensordict(batch_dict)",
        ),
    ),
    Seam(
        "every chunk of a step's prompts passes one method",
        "training.run.trainers.base",
        f"{TRAINER}._next_train_batch",
        fragments=(
            "self._fetch_one_gen_batch() for _ in range(",
            '"global_steps", self.global_steps',
        ),
    ),
    Seam(
        "one step",
        "training.care.trainer",
        f"{TRAINER}._step_once",
        fragments=(
            "self.replay_buffer.sample(",
            "self._balance_batch(batch, metrics=metrics)",
            "self._compute_old_log_prob(batch, metrics=metrics)",
            "self._compute_ref_log_prob(batch, metrics=metrics)",
            "self._compute_advantage(batch, metrics=metrics)",
            "self._update_actor(batch, metrics=metrics)",
        ),
    ),
    Seam(
        "the balanced batch is padded to our multiple",
        "training.care.trainer",
        f"{TRAINER}._balance_batch",
        fragments=(
            "worker_group._query_dispatch_info(role)",
            "worker_group._dispatch_info[role]",
            "dp_size = max(dp_rank_mapping) + 1",
            "self._get_required_batch_multiple(dp_size)",
            "upsample_batch_to_divisible_size(batch, batch_multiple",
            'tag["seq_len"]',
            "batch.reorder([j for partition in global_partition_lst for j in partition])",
        ),
    ),
    Seam(
        "what an update is told",
        "training.care.trainer",
        f"{TRAINER}._update_actor",
        fragments=(
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
    ),
    Seam(
        "the order of a step's end",
        "training.care.trainer",
        f"{TRAINER}.fit",
        fragments=(
            "self.timing_raw = {}",
            "batch = self.step(metrics, self.timing_raw)",
            "self._compute_metrics(batch, metrics, self.timing_raw",
            "self._log_rollout_data(batch, self.timing_raw, rollout_data_dir)",
            "tq.kv_clear(keys=batch.keys",
            "self.logger.log(data=metrics, step=self.global_steps)",
        ),
    ),
    Seam(
        "padding is told by a tag",
        "training.care.dropping",
        f"{TRAINER}._compute_metrics",
        fragments=(
            'tag.get("is_padding", False)',
            '"response_mask"',
            '"advantages"',
            '"returns"',
        ),
    ),
    Seam(
        "throughput is the tokens of the rows that are left",
        "training.run.verl_metrics",
        "verl.trainer.ppo.metric_utils:compute_throughout_metrics",
        fragments=(
            '"perf/total_num_tokens": total_num_tokens',
            '"perf/throughput": total_num_tokens / (time * n_gpus)',
        ),
    ),
    Seam(
        "milliseconds a token are of the rows that are left",
        "training.run.verl_metrics",
        "verl.trainer.ppo.metric_utils:compute_timing_metrics",
        fragments=('"gen": num_response_tokens', 'f"timing_per_token_ms/{name}"'),
    ),
    Seam(
        "run_trainer.__init__",
        "training.run.trainers.base",
        "verl.trainer.ppo.v1.trainer_sync:PPOTrainerSync.__init__",
        parameters="self, config",
    ),
    Seam(
        "run_trainer.fit",
        "training.run.trainers.base",
        f"{TRAINER}.fit",
        parameters="self, agent_loop_manager",
    ),
    Seam(
        "run_trainer._setup",
        "training.run.trainers.base",
        f"{TRAINER}._setup",
        parameters="self",
    ),
    Seam(
        "trainer._balance_batch",
        "training.care.trainer",
        f"{TRAINER}._balance_batch",
        parameters="self, batch, metrics, logging_prefix, keep_minibatch",
    ),
    Seam(
        "trainer._get_required_batch_multiple",
        "training.care.trainer",
        f"{TRAINER}._get_required_batch_multiple",
        parameters="self, dp_size",
    ),
    Seam(
        "trainer._compute_old_log_prob",
        "training.care.trainer",
        f"{TRAINER}._compute_old_log_prob",
        parameters="self, batch, metrics",
    ),
    Seam(
        "trainer._compute_advantage",
        "training.care.trainer",
        f"{TRAINER}._compute_advantage",
        parameters="self, batch, metrics",
    ),
    Seam(
        "trainer._update_actor",
        "training.care.trainer",
        f"{TRAINER}._update_actor",
        parameters="self, batch, metrics",
    ),
    Seam(
        "trainer._compute_metrics",
        "training.care.trainer",
        f"{TRAINER}._compute_metrics",
        parameters="self, batch, metrics, timing_raw, global_steps, epoch",
    ),
    Seam(
        "trainer._log_rollout_data",
        "training.care.trainer",
        f"{TRAINER}._log_rollout_data",
        parameters="self, batch, timing_raw, rollout_data_dir",
    ),
)
