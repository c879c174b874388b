"""verl 0.9.1's seams that GRPO-CARE hooks into beside CARE's (`test_contracts`)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, open_dict
from tensordict import TensorDict
from verl.single_controller.base.decorator import MAGIC_ATTR, Dispatch
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, get_policy_loss_fn
from verl.trainer.ppo.metric_utils import compute_data_metrics
from verl.trainer.ppo.utils import need_reference_policy
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.checkpoint.fsdp_checkpoint_manager import FSDPCheckpointManager
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.workers.config import ActorConfig
from verl.workers.config.actor import PolicyLossConfig
from verl.workers.engine.base import BaseEngine
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine
from verl.workers.engine_workers import ActorRolloutRefWorker
from verl.workers.utils.losses import ppo_loss

from care_verl.training import group_worker, run_trainer, run_worker
from care_verl.training.grpo_care import agent_loop, trainer, worker
from care_verl.training.grpo_care.configuration import ESTIMATOR, NO_SECOND_CLIP, TRAINER_MODE

from .seams import require_fragments, require_parameters

Composed = Callable[..., DictConfig]

# (who relies on it, verl's function, fragments of its source in their order)
SOURCES: dict[str, tuple[str, Any, Sequence[str]]] = {
    "a reference is wanted where a KL term is": (
        "grpo_care.trainer",
        need_reference_policy,
        ['config.algorithm.get("use_kl_in_reward", False)', "actor.use_kl_loss"],
    ),
    "it is decided when the trainer is made": (
        "grpo_care.trainer",
        PPOTrainer.__init__,
        ["self.use_reference_policy = need_reference_policy(self.config)"],
    ),
    "and when roles are given": (
        "grpo_care.trainer",
        PPOTrainer._init_resource_pool_mgr,
        [
            "Role.ActorRolloutRef if need_reference_policy(config) and not ref_in_actor",
            "ray.remote(ActorRolloutRefWorker)",
        ],
    ),
    "the models are there before a checkpoint is loaded": (
        "grpo_care.trainer",
        PPOTrainer._setup,
        [
            "self.actor_rollout_wg.init_model()",
            "self.ref_policy_wg = all_wg[str(actor_role)]",
            "self._load_checkpoint()",
        ],
    ),
    "a step scores by the reference before advantages": (
        "grpo_care.trainer",
        PPOTrainer._step_once,
        [
            "self._balance_batch(batch, metrics=metrics)",
            "if self.use_reference_policy:",
            "self._compute_ref_log_prob(batch, metrics=metrics)",
            "self._compute_advantage(batch, metrics=metrics)",
            "self._update_actor(batch, metrics=metrics)",
        ],
    ),
    "the reference's log-probabilities are put by row": (
        "grpo_care.trainer",
        PPOTrainer._compute_ref_log_prob,
        [
            "self.ref_policy_wg.compute_ref_log_prob(batch)",
            'data["ref_log_prob"] = response_from_nested(',
            'fields=data.select("ref_log_prob")',
        ],
    ),
    "what verl's own advantages put": (
        "grpo_care.trainer",
        PPOTrainer._compute_advantage,
        ['fields = ["advantages", "returns"]', "batch = tq.kv_batch_put("],
    ),
    "metrics read the rewards with the bonus": (
        "grpo_care.rows",
        PPOTrainer._compute_metrics,
        ['"token_level_rewards"', 'if "token_level_rewards" not in data'],
    ),
    "rollouts are dumped with their keys": (
        "grpo_care.trainer",
        PPOTrainer._log_rollout_data,
        ['{"uid": [batch.keys[i]', "reward_extra_infos_dict=reward_extra_infos_dict"],
    ),
    "so are validation rows": (
        "grpo_care.trainer",
        PPOTrainer._validate,
        ["self._dump_generations(", "reward_extra_infos_dict={", '"uid": dump_all_keys'],
    ),
    "the reference is built in the actor's process": (
        "grpo_care.worker",
        ActorRolloutRefWorker.init_model,
        [
            'if "ref" in self.role:',
            "self.ref = self.ref_worker_cls(config=ref_training_config)",
            'if "actor" in self.role:',
            "self.actor = self.actor_worker_cls(config=actor_training_config)",
        ],
    ),
    "a checkpoint is the policy's": (
        "grpo_care.worker",
        ActorRolloutRefWorker.save_checkpoint,
        ["self.actor.save_checkpoint(local_path, hdfs_path, global_step, max_ckpt_to_keep)"],
    ),
    "and comes back into it": (
        "grpo_care.worker",
        ActorRolloutRefWorker.load_checkpoint,
        ["self.actor.load_checkpoint(local_path, hdfs_path, del_local_after_load)"],
    ),
    "which lies in `actor` in the step's folder": (
        "grpo_care.worker",
        PPOTrainer._save_checkpoint,
        ['os.path.join(local_global_step_folder, "actor")', "self.actor_rollout_wg.save_checkpoin"],
    ),
    "and is looked for there": (
        "grpo_care.worker",
        PPOTrainer._load_checkpoint,
        ['local_path=os.path.join(global_step_folder, "actor")'],
    ),
    "an engine's update ends in its optimizer step": (
        "grpo_care.moving_reference",
        BaseEngine.train_batch,
        ["self.forward_backward_batch(", "grad_norm = self.optimizer_step()"],
    ),
    "which skips what is not finite, and returns the norm": (
        "grpo_care.moving_reference",
        FSDPEngine.optimizer_step,
        [
            "if not torch.isfinite(grad_norm):",
            "self.optimizer.zero_grad()",
            "self.optimizer.step()",
            "return grad_norm.item()",
        ],
    ),
    "an engine keeps its module and its checkpoint manager": (
        "grpo_care.moving_reference",
        FSDPEngine.initialize,
        ["self.checkpoint_manager = FSDPCheckpointManager(", "model=self.module"],
    ),
    "a forward-only model is offloaded to host memory": (
        "grpo_care.moving_reference",
        FSDPEngine._build_fsdp_module,
        [
            "CPUOffload(offload_params=True)",
            "self.engine_config.forward_only",
            "CPUOffloadPolicy(pin_memory=True)",
        ],
    ),
    "the manager saves what it is told": (
        "grpo_care.configuration",
        FSDPCheckpointManager.save_checkpoint,
        ["if self.should_save_model:", "if self.should_save_optimizer:", "if self.should_save_ext"],
    ),
    "the manager names its worker class": (
        "grpo_care.agent_loop",
        AgentLoopManagerTQ.__init__,
        ["self.agent_loop_workers_class = AgentLoopWorkerTQ", "super().__init__(*args, **kwargs)"],
    ),
}


@pytest.mark.parametrize("seam", SOURCES)
def test_source(seam: str) -> None:
    user, target, fragments = SOURCES[seam]
    require_fragments(seam, f"training.{user}", target, fragments)


# (verl's function, its parameters)
SIGNATURES: dict[str, tuple[Callable[..., Any], str]] = {
    "trainer._compute_advantage": (PPOTrainer._compute_advantage, "self, batch, metrics"),
    "trainer._update_actor": (PPOTrainer._update_actor, "self, batch, metrics"),
    "trainer._dump_generations": (
        PPOTrainer._dump_generations,
        "self, inputs, outputs, gts, scores, reward_extra_infos_dict, dump_path",
    ),
    "worker.save_checkpoint": (
        ActorRolloutRefWorker.save_checkpoint,
        "self, local_path, hdfs_path, global_step, max_ckpt_to_keep",
    ),
    "worker.load_checkpoint": (
        ActorRolloutRefWorker.load_checkpoint,
        "self, local_path, hdfs_path, del_local_after_load",
    ),
    "engine.optimizer_step": (FSDPEngine.optimizer_step, "self"),
    "manager.save_checkpoint": (
        FSDPCheckpointManager.save_checkpoint,
        "self, local_path, hdfs_path, global_step, max_ckpt_to_keep",
    ),
    "manager.load_checkpoint": (
        FSDPCheckpointManager.load_checkpoint,
        "self, local_path, hdfs_path, del_local_after_load",
    ),
}


@pytest.mark.parametrize("seam", SIGNATURES)
def test_signature(seam: str) -> None:
    require_parameters(seam, *SIGNATURES[seam])


@pytest.mark.parametrize(
    ("ours", "base", "own"),
    [
        (
            agent_loop.GrpoCareAgentLoopWorker,
            group_worker.GroupWorker,
            {"_answered"},
        ),
        (trainer.GrpoCareTrainer, PPOTrainerSync, {"_score"}),
        (trainer.GrpoCareTrainer, run_trainer.RunTrainer, {"_score"}),
        (
            worker.GrpoCareActorRolloutRefWorker,
            run_worker.RunActorRolloutRefWorker,
            {"follow_policy", "reference_state"},
        ),
    ],
)
def test_every_override_has_something_to_override(ours: type, base: type, own: set[str]) -> None:
    functions = {name for name, value in vars(ours).items() if inspect.isfunction(value)}
    missing = {name for name in functions - own if not hasattr(base, name)}
    assert not missing, f"{ours.__name__} overrides {missing}, which {base.__name__} has not"


@pytest.mark.parametrize(
    "method", ["follow_policy", "reference_state", "save_checkpoint", "load_checkpoint"]
)
def test_the_trainer_reaches_every_rank(method: str) -> None:
    """verl gives worker groups those methods only that are registered."""
    registered = getattr(worker.GrpoCareActorRolloutRefWorker, method)
    assert getattr(registered, MAGIC_ATTR)["dispatch_mode"] == Dispatch.ONE_TO_ALL


def test_the_registries_know_the_method() -> None:
    assert get_trainer_cls(TRAINER_MODE) is trainer.GrpoCareTrainer
    with pytest.raises(RuntimeError, match="grpo_care was computed outside its trainer"):
        ADV_ESTIMATOR_REGISTRY[ESTIMATOR](token_level_rewards=None)


def test_the_references_checkpoint_settings_reach_its_worker(composed: Composed) -> None:
    """As `init_model` reads them, after it has renamed the batch sizes."""
    config = composed("algorithm.adv_estimator=grpo_care")
    validate_config(config=config, use_reference_policy=False, use_critic=False)
    ref = config.actor_rollout_ref.ref
    with open_dict(ref):
        for key in [key for key in ref if re.match("log_prob_", str(key))]:
            del ref[key]
        ref.ppo_micro_batch_size_per_gpu = 1
    checkpoint = omega_conf_to_dataclass(ref).checkpoint
    assert (checkpoint.save_contents, checkpoint.load_contents) == (["model"], ["model"])


def test_verls_loss_clips_once_and_takes_the_mean_over_rows() -> None:
    """By hand: ratios 5 and 5 with A = -1, ratio 2 with A = 1, clips 0.2 and 0.28.

    Row 0: 5 on both tokens, where verl's second clip would have made it 3. Row 1: -1.28. Their
    mean is (5 - 1.28)/2 = 1.86; the mean over tokens would be (10 - 1.28)/3.
    """
    config = ActorConfig(
        strategy="fsdp",
        ppo_micro_batch_size_per_gpu=1,
        clip_ratio_low=0.2,
        clip_ratio_high=0.28,
        clip_ratio_c=NO_SECOND_CLIP,
        loss_agg_mode="seq-mean-token-mean",
        policy_loss=PolicyLossConfig(loss_mode="vanilla"),
        rollout_n=1,
    )
    old = [[-2.0, -2.0], [-2.0]]
    ratios = torch.tensor([5.0, 2.0]).log().tolist()
    data = TensorDict(
        {
            "prompts": nested([1], [1]),
            "responses": nested([1, 1], [1]),
            "response_mask": nested([1, 1], [1]),
            "old_log_probs": nested(*old),
            "advantages": nested([-1, -1], [1]),
        },
        batch_size=2,
    )
    tu.assign_non_tensor(data, dp_size=1, batch_num_tokens=3, global_batch_size=2)
    # verl shifts by one: the last position of a row belongs to no token.
    log_probs = nested([-2 + ratios[0], -2 + ratios[0], 9], [-2 + ratios[1], 9])
    loss, metrics = ppo_loss(config, {"log_probs": log_probs}, data)
    assert float(loss) == pytest.approx(1.86, abs=1e-5)
    assert metrics["actor/pg_clipfrac_lower"].aggregate() == 0.0
    assert get_policy_loss_fn("vanilla").__name__ == "compute_policy_loss_vanilla"


def test_verls_rewards_are_those_with_the_bonus() -> None:
    source = inspect.getsource(compute_data_metrics)
    assert 'sequence_reward = batch.batch["token_level_rewards"].sum(-1)' in source


def nested(*rows: Sequence[float]) -> torch.Tensor:
    tensors = [torch.tensor(row, dtype=torch.float32) for row in rows]
    return torch.nested.as_nested_tensor(tensors, layout=torch.jagged)
