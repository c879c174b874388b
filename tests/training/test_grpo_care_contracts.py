"""What verl 0.9.1 makes of GRPO-CARE's classes, settings and loss."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig, open_dict
from tensordict import TensorDict
from verl.single_controller.base.decorator import MAGIC_ATTR, Dispatch
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, get_policy_loss_fn
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.workers.config import ActorConfig
from verl.workers.config.actor import PolicyLossConfig
from verl.workers.utils.losses import ppo_loss

from care_verl.training.grpo_care import agent_loop, trainer, worker
from care_verl.training.grpo_care.wiring import NO_SECOND_CLIP, TRAINER_MODE
from care_verl.training.run import agent_loop as run_agent_loop
from care_verl.training.run import worker as run_worker
from care_verl.training.run.trainers import base as run_trainer

from .samples import nested

Composed = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("ours", "base", "own"),
    [
        (
            agent_loop.GrpoCareAgentLoopWorker,
            run_agent_loop.GroupWorker,
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
        ADV_ESTIMATOR_REGISTRY["grpo_care"](token_level_rewards=None)


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
