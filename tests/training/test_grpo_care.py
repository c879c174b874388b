"""GRPO-CARE's one flag: what it sets, what it leaves alone, what it refuses.

That the pieces make a training run is shown end to end; how the reference moves is in
`test_moving_reference`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.training.reward_manager import CareRewardManager
from tests.validation import validate

Composed = Callable[..., DictConfig]

FLAG = "algorithm.adv_estimator=grpo_care"


def test_one_flag_turns_everything_on(composed: Composed) -> None:
    config = validate(composed(FLAG))
    actor, ref = config.actor_rollout_ref.actor, config.actor_rollout_ref.ref
    assert config.trainer.v1.trainer_mode == "care_verl_plugin_grpo_care"
    assert config.algorithm.grpo_care == GrpoCareConfig().to_mapping()
    assert (actor.policy_loss.loss_mode, actor.use_kl_loss) == ("vanilla", False)
    assert actor.loss_agg_mode == "seq-mean-token-mean"
    assert actor.clip_ratio_c == 1e9
    assert config.reward.reward_manager.name == "CareRewardManager"
    manager = config.actor_rollout_ref.rollout.agent.agent_loop_manager_class
    assert manager.endswith("GrpoCareAgentLoopManager")
    assert "care_harvest" not in (config.actor_rollout_ref.rollout.get("custom") or {})
    assert (ref.checkpoint.save_contents, ref.checkpoint.load_contents) == (["model"], ["model"])
    assert ref.log_prob_micro_batch_size_per_gpu == 4


def test_cares_own_flag_gets_none_of_it(composed: Composed) -> None:
    config = validate(composed("algorithm.adv_estimator=care"))
    assert "grpo_care" not in config.algorithm
    assert config.actor_rollout_ref.actor.clip_ratio_c == 3.0


def test_the_usual_clips_and_a_users_reward_are_kept(composed: Composed) -> None:
    lines = ["actor_rollout_ref.actor.clip_ratio_high=0.3", "reward.custom_reward_function.path=/x"]
    config = validate(composed(FLAG, *lines))
    assert config.actor_rollout_ref.actor.clip_ratio_high == 0.3
    assert config.reward.reward_manager.name == "naive"


@pytest.mark.parametrize(
    ("override", "key", "also"),
    [
        ("+algorithm.grpo_care.marign=0", "algorithm.grpo_care.marign", "margin"),
        ("+algorithm.grpo_care.decay=1.5", "algorithm.grpo_care.decay", "[0, 1]"),
        ("+algorithm.grpo_care.every=0", "algorithm.grpo_care.every", ">= 1"),
        ("+algorithm.grpo_care.records.every=-1", "algorithm.grpo_care.records.every", ">= 0"),
        ("+algorithm.grpo_care.records.evry=1", "algorithm.grpo_care.records.evry", "every"),
        ("+algorithm.grpo_care.think_tag=answer", "algorithm.grpo_care.answer_tag", "different"),
        ("actor_rollout_ref.actor.use_kl_loss=True", "actor.use_kl_loss", "no KL penalty"),
        ("algorithm.use_kl_in_reward=True", "algorithm.use_kl_in_reward", "no KL penalty"),
        ("actor_rollout_ref.model.lora_rank=8", "model.lora_rank", "without its adapter"),
        (
            "actor_rollout_ref.ref.fsdp_config.model_dtype=bf16",
            "ref.fsdp_config.model_dtype",
            "lost in 16 bits",
        ),
        ("actor_rollout_ref.actor.policy_loss.loss_mode=gspo", "loss_mode", "gspo"),
        ("actor_rollout_ref.rollout.name=sglang", "rollout.name", "vllm"),
        ("algorithm.filter_groups.enable=True", "filter_groups.enable", "the bonus"),
        ("algorithm.rollout_correction.rollout_is=token", "rollout_is", "token"),
        ("trainer.use_v1=False", "trainer.use_v1", "False"),
        ("reward.reward_model.enable=True", "reward.reward_model.enable", "enable_resource_pool"),
        ("actor_rollout_ref.rollout.full_determinism=True", "full_determinism", "seeded=True"),
        ("critic.enable=True", "critic.enable", "no critic"),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    composed: Composed, override: str, key: str, also: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(key)) as refusal:
        validate(composed(FLAG, override))
    assert also in str(refusal.value)


def test_another_estimator_is_left_alone(composed: Composed) -> None:
    config = composed("algorithm.adv_estimator=grpo", "+algorithm.grpo_care.margin=7")
    before = copy.deepcopy(OmegaConf.to_container(config))
    assert OmegaConf.to_container(validate(config)) == before


@pytest.mark.parametrize(
    ("line", "lam", "think_tag"),
    [
        ("+algorithm.grpo_care={lam: 0.5, think_tag: reasoning}", 0.5, "reasoning"),
        ("+algorithm.care={lam: 0.3}", 0.1, "think"),
    ],
)
def test_the_reward_reads_the_settings_of_the_method(
    composed: Composed, tokenizer: Any, line: str, lam: float, think_tag: str
) -> None:
    manager = CareRewardManager(validate(composed(FLAG, line)), tokenizer)
    assert (manager._lam, manager._tags.think_tag) == (lam, think_tag)
