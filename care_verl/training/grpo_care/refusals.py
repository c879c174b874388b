"""What a GRPO-CARE run cannot be combined with, refused before Ray starts.

Each message names the key, its value and the remedy.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.training.refusals import (
    refuse,
    refuse_agents,
    refuse_asynchronous,
    refuse_equal_rollouts,
    refuse_late_rewards,
)

_KL = "it has no KL penalty: its reference, an average of the policy, decides on bonuses only"
_REFERENCE_KEEPS_32_BITS = (
    "one update moves a weight by 0.5 % of its distance to the policy, which is lost in 16 bits; "
    "the precision of the forward pass is mixed_precision's"
)

# (key, allowed values, remedy)
ALLOWED: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("trainer.use_v1", (True,), "verl's V1 trainer is the one that is extended"),
    (
        "trainer.v1.trainer_mode",
        ("sync",),
        "an asynchronous trainer scores rows under other weights than decoded them",
    ),
    (
        "actor_rollout_ref.rollout.agent.agent_loop_manager_class",
        (None,),
        "answers are found in the agent-loop manager; leave the key unset",
    ),
    (
        "actor_rollout_ref.rollout.name",
        ("vllm",),
        "rollout servers are watched for deaths, which is done for vLLM only",
    ),
    ("algorithm.use_kl_in_reward", (False,), _KL),
    ("actor_rollout_ref.actor.use_kl_loss", (False,), _KL),
    (
        "algorithm.rollout_correction.bypass_mode",
        (False, None),
        "old log-probabilities come from the actor",
    ),
    (
        "algorithm.rollout_correction.rollout_is",
        (None,),
        "its advantages are not corrected for an off-policy rollout",
    ),
    (
        "algorithm.rollout_correction.rollout_rs",
        (None,),
        "its advantages are not corrected for an off-policy rollout",
    ),
    (
        "algorithm.filter_groups.enable",
        (False, None),
        "groups of equal accuracy are those in which only the bonus tells rows apart",
    ),
    ("actor_rollout_ref.actor.strategy", ("fsdp", "fsdp2"), "other engines were not tried"),
    (
        "actor_rollout_ref.ref.strategy",
        ("fsdp", "fsdp2"),
        "the reference is averaged shard by shard; leave the key at the actor's",
    ),
    ("actor_rollout_ref.ref.fsdp_config.model_dtype", ("fp32",), _REFERENCE_KEEPS_32_BITS),
    (
        "actor_rollout_ref.actor.policy_loss.loss_mode",
        ("vanilla",),
        "it is GRPO's clipped loss; leave the key unset",
    ),
    (
        "actor_rollout_ref.actor.checkpoint.async_save",
        (False, None),
        "it is Megatron's; verl would never name a checkpoint to resume from",
    ),
    ("critic.enable", (False, None), "it has no critic"),
    ("distillation.enabled", (False, None), "distillation has a loss of its own"),
)
LORA = (
    "actor_rollout_ref.model.lora_rank",
    "actor_rollout_ref.model.lora.rank",
    "actor_rollout_ref.model.lora_adapter_path",
)


def refuse_unsupported(config: DictConfig) -> None:
    """Raise ValueError for the first setting that GRPO-CARE cannot work with."""
    refuse_asynchronous(config, "GRPO-CARE")
    for key, allowed, remedy in ALLOWED:
        refuse(config, key, allowed, remedy, method="GRPO-CARE")
    refuse_agents(config, "GRPO-CARE")
    _refuse_lora(config)
    refuse_late_rewards(config, "accuracies are read where rows are decoded")
    refuse_equal_rollouts(config, GrpoCareConfig.KEY)


def _refuse_lora(config: DictConfig) -> None:
    for key in LORA:
        value = OmegaConf.select(config, key)
        if value:
            raise ValueError(
                f"{key} = {value!r}; GRPO-CARE needs all weights trained: with LoRA verl's "
                "reference is the policy without its adapter, and there is no second model that "
                "could follow it. Set it to null or 0, or use another method"
            )
