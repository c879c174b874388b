"""What GRPO-CARE relies on beside what it shares with CARE."""

from __future__ import annotations

from care_verl.seams.places import ACTOR, QUEUE_MANAGER, TRAINER
from care_verl.seams.seam import Seam

SEAMS: tuple[Seam, ...] = (
    Seam(
        "a reference is wanted where a KL term is",
        "training.grpo_care.trainer",
        "verl.trainer.ppo.utils:need_reference_policy",
        fragments=(
            'config.algorithm.get("use_kl_in_reward", False)',
            "actor.use_kl_loss",
        ),
    ),
    Seam(
        "the need of a reference is decided when the trainer is made",
        "training.grpo_care.trainer",
        f"{TRAINER}.__init__",
        fragments=("self.use_reference_policy = need_reference_policy(self.config)",),
    ),
    Seam(
        "the need of a reference is decided when roles are given",
        "training.grpo_care.trainer",
        f"{TRAINER}._init_resource_pool_mgr",
        fragments=(
            "Role.ActorRolloutRef if need_reference_policy(config) and not ref_in_actor",
            "ray.remote(ActorRolloutRefWorker)",
        ),
    ),
    Seam(
        "the models are there before a checkpoint is loaded",
        "training.grpo_care.trainer",
        f"{TRAINER}._setup",
        fragments=(
            "self.actor_rollout_wg.init_model()",
            "self.ref_policy_wg = all_wg[str(actor_role)]",
            "self._load_checkpoint()",
        ),
    ),
    Seam(
        "a step scores by the reference before advantages",
        "training.grpo_care.trainer",
        f"{TRAINER}._step_once",
        fragments=(
            "self._balance_batch(batch, metrics=metrics)",
            "if self.use_reference_policy:",
            "self._compute_ref_log_prob(batch, metrics=metrics)",
            "self._compute_advantage(batch, metrics=metrics)",
            "self._update_actor(batch, metrics=metrics)",
        ),
    ),
    Seam(
        "the reference's log-probabilities are put by row",
        "training.grpo_care.trainer",
        f"{TRAINER}._compute_ref_log_prob",
        fragments=(
            "self.ref_policy_wg.compute_ref_log_prob(batch)",
            'data["ref_log_prob"] = response_from_nested(',
            'fields=data.select("ref_log_prob")',
        ),
    ),
    Seam(
        "what verl's own advantages put",
        "training.grpo_care.trainer",
        f"{TRAINER}._compute_advantage",
        fragments=(
            'fields = ["advantages", "returns"]',
            "batch = tq.kv_batch_put(",
        ),
    ),
    Seam(
        "metrics read the rewards with the bonus",
        "training.grpo_care.step",
        f"{TRAINER}._compute_metrics",
        fragments=(
            '"token_level_rewards"',
            'if "token_level_rewards" not in data',
        ),
    ),
    Seam(
        "rollouts are dumped with their keys",
        "training.grpo_care.trainer",
        f"{TRAINER}._log_rollout_data",
        fragments=(
            '{"uid": [batch.keys[i]',
            "reward_extra_infos_dict=reward_extra_infos_dict",
        ),
    ),
    Seam(
        "validation rows are dumped with their keys",
        "training.grpo_care.trainer",
        f"{TRAINER}._validate",
        fragments=(
            "self._dump_generations(",
            "reward_extra_infos_dict={",
            '"uid": dump_all_keys',
        ),
    ),
    Seam(
        "the reference is built in the actor's process",
        "training.grpo_care.worker",
        f"{ACTOR}.init_model",
        fragments=(
            'if "ref" in self.role:',
            "self.ref = self.ref_worker_cls(config=ref_training_config)",
            'if "actor" in self.role:',
            "self.actor = self.actor_worker_cls(config=actor_training_config)",
        ),
    ),
    Seam(
        "a checkpoint is the policy's",
        "training.grpo_care.worker",
        f"{ACTOR}.save_checkpoint",
        fragments=(
            "self.actor.save_checkpoint(local_path, hdfs_path, global_step, max_ckpt_to_keep)",
        ),
    ),
    Seam(
        "a checkpoint comes back into the policy",
        "training.grpo_care.worker",
        f"{ACTOR}.load_checkpoint",
        fragments=("self.actor.load_checkpoint(local_path, hdfs_path, del_local_after_load)",),
    ),
    Seam(
        "the policy is saved in `actor` in the step's folder",
        "training.grpo_care.worker",
        f"{TRAINER}._save_checkpoint",
        fragments=(
            'os.path.join(local_global_step_folder, "actor")',
            "self.actor_rollout_wg.save_checkpoin",
        ),
    ),
    Seam(
        "the policy is looked for in `actor` in the step's folder",
        "training.grpo_care.worker",
        f"{TRAINER}._load_checkpoint",
        fragments=('local_path=os.path.join(global_step_folder, "actor")',),
    ),
    Seam(
        "the manager names the worker class that GRPO-CARE replaces",
        "training.grpo_care.agent_loop",
        f"{QUEUE_MANAGER}.__init__",
        fragments=(
            "self.agent_loop_workers_class = AgentLoopWorkerTQ",
            "super().__init__(*args, **kwargs)",
        ),
    ),
    Seam(
        "grpo_care.trainer._compute_advantage",
        "training.grpo_care.trainer",
        f"{TRAINER}._compute_advantage",
        parameters="self, batch, metrics",
    ),
    Seam(
        "grpo_care.trainer._update_actor",
        "training.grpo_care.trainer",
        f"{TRAINER}._update_actor",
        parameters="self, batch, metrics",
    ),
    Seam(
        "grpo_care.trainer._dump_generations",
        "training.grpo_care.trainer",
        f"{TRAINER}._dump_generations",
        parameters="self, inputs, outputs, gts, scores, reward_extra_infos_dict, dump_path",
    ),
    Seam(
        "grpo_care.worker.save_checkpoint",
        "training.grpo_care.worker",
        f"{ACTOR}.save_checkpoint",
        parameters="self, local_path, hdfs_path, global_step, max_ckpt_to_keep",
    ),
    Seam(
        "grpo_care.worker.load_checkpoint",
        "training.grpo_care.worker",
        f"{ACTOR}.load_checkpoint",
        parameters="self, local_path, hdfs_path, del_local_after_load",
    ),
    Seam(
        "verl's rewards are those with the bonus",
        "training.grpo_care.step",
        "verl.trainer.ppo.metric_utils:compute_data_metrics",
        fragments=('sequence_reward = batch.batch["token_level_rewards"].sum(-1)',),
    ),
)
