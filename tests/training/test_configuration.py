"""One flag, through verl's own `validate_config`, and what is refused before Ray starts.

No run is started here: that the completed configuration trains is shown end to end.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from care_verl.training.refusals import COMMON, refuse_values
from tests.validation import validate

Composed = Callable[..., DictConfig]


def test_one_flag_turns_everything_on(composed: Composed) -> None:
    config = validate(composed("algorithm.adv_estimator=care"))
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    assert config.trainer.v1.trainer_mode == "care_verl_plugin"
    assert actor.policy_loss.loss_mode == "care"
    assert (actor.clip_ratio_low, actor.clip_ratio_high) == (0.2, 0.28)
    assert (actor.use_kl_loss, actor.kl_loss_coef) == (True, 0.02)
    assert actor.loss_agg_mode == "seq-mean-token-mean"
    assert rollout.calculate_log_probs
    assert rollout.custom.care_harvest == {"think_tag": "think", "answer_tag": "answer"}
    assert rollout.agent.agent_loop_manager_class.endswith("CareAgentLoopManager")
    assert config.reward.reward_manager.name == "CareRewardManager"
    assert config.actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu == 4
    table_5 = {"K": 4, "M": 6, "s": 0.5, "s_refl": 0.25, "delta": 0.1, "gamma_pos": 0.005}
    assert {key: config.algorithm.care[key] for key in table_5} == table_5
    assert config.algorithm.care.rgr.mode == "cue"


def test_settings_are_overridden_one_by_one(composed: Composed) -> None:
    config = validate(
        composed(
            "algorithm.adv_estimator=care",
            "+algorithm.care.K=6",
            "+algorithm.care.beta=0",
            "+algorithm.care.rgr.mode=no_cue",
        )
    )
    assert config.algorithm.care.K == 6
    assert config.algorithm.care.M == 6
    assert not config.actor_rollout_ref.actor.use_kl_loss
    assert config.algorithm.care.rgr.mode == "no_cue"


def test_a_group_of_one_becomes_the_papers_eight(composed: Composed) -> None:
    config = composed("algorithm.adv_estimator=care", "actor_rollout_ref.rollout.n=1")
    assert validate(config).actor_rollout_ref.rollout.n == 8


def test_a_users_reward_function_is_kept(composed: Composed) -> None:
    config = composed(
        "algorithm.adv_estimator=care", "reward.custom_reward_function.path=/x/reward.py"
    )
    assert validate(config).reward.reward_manager.name == "naive"


def test_images_are_decoded_by_cares_dataset_or_the_users(composed: Composed) -> None:
    assert validate(composed("algorithm.adv_estimator=care")).data.custom_cls == {
        "path": "pkg://care_verl.training.dataset",
        "name": "CareDataset",
    }
    own = ["data.custom_cls.path=/x/data.py", "data.custom_cls.name=Mine"]
    config = composed("algorithm.adv_estimator=care", *own)
    assert validate(config).data.custom_cls == {"path": "/x/data.py", "name": "Mine"}


def test_another_estimator_is_left_alone(composed: Composed) -> None:
    config = composed("algorithm.adv_estimator=grpo")
    before = copy.deepcopy(OmegaConf.to_container(config))
    assert OmegaConf.to_container(validate(config)) == before


@pytest.mark.parametrize(
    ("override", "key", "also"),
    [
        ("+algorithm.care.kk=3", "algorithm.care.kk", "K"),
        ("+algorithm.care.rgr.mdoe=cue", "algorithm.care.rgr.mdoe", "mode"),
        ("+algorithm.care.s=1.5", "algorithm.care.s", "1.5"),
        ("+algorithm.care.K=0", "algorithm.care.K", "0"),
        ("+algorithm.care.selector=closest", "algorithm.care.selector", "nearest"),
        ("+algorithm.care.equalize=3", "algorithm.care.equalize", "3"),
        ("trainer.use_v1=False", "trainer.use_v1", "False"),
        ("trainer.v1.trainer_mode=colocate_async", "trainer_mode", "colocate_async"),
        ("reward.reward_model.enable=True", "reward.reward_model.enable", "enable_resource_pool"),
        ("algorithm.use_kl_in_reward=True", "algorithm.use_kl_in_reward", "beta"),
        ("algorithm.filter_groups.enable=True", "algorithm.filter_groups.enable", "rescue"),
        ("algorithm.rollout_correction.rollout_is=token", "rollout_is", "token"),
        ("actor_rollout_ref.rollout.name=sglang", "rollout.name", "vllm"),
        ("actor_rollout_ref.actor.policy_loss.loss_mode=gspo", "loss_mode", "gspo"),
        (
            "+actor_rollout_ref.rollout.engine_kwargs.vllm.speculative_config={model:x}",
            "speculative_config",
            "switch it off",
        ),
        (
            "+actor_rollout_ref.rollout.engine_kwargs.vllm.pipeline_parallel_size=2",
            "pipeline_parallel_size = 2",
            "set it to 1",
        ),
        (
            "actor_rollout_ref.rollout.enable_rollout_routing_replay=True",
            "rollout.enable_rollout_routing_replay = True",
            "set it to False",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    composed: Composed, override: str, key: str, also: str
) -> None:
    config = composed("algorithm.adv_estimator=care", override)
    with pytest.raises(ValueError, match=re.escape(key)) as refusal:
        validate(config)
    assert also in str(refusal.value)


@pytest.mark.parametrize("method", ["care", "grpo_care"])
def test_agents_of_several_turns_are_refused(composed: Composed, method: str) -> None:
    key = "actor_rollout_ref.rollout.agent.default_agent_loop"
    config = composed(f"algorithm.adv_estimator={method}", f"{key}=tool_agent")
    with pytest.raises(ValueError, match=f"{re.escape(key)} = 'tool_agent'.*not supported yet"):
        validate(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [("multi_turn.enable", True), ("agent.agent_loop_config_path", "/x/loops.yaml")],
)
def test_what_else_makes_several_turns_is_refused(composed: Composed, key: str, value: Any) -> None:
    config = composed()
    refuse_values(config, COMMON, "CARE")
    OmegaConf.update(config, f"actor_rollout_ref.rollout.{key}", value)
    with pytest.raises(ValueError, match=f"rollout.{re.escape(key)} = .*not supported yet"):
        refuse_values(config, COMMON, "CARE")


def test_a_limit_on_parity_needs_one_distribution(composed: Composed) -> None:
    """Which samplings do not have one is in `test_parity`."""
    cut = "actor_rollout_ref.rollout.top_p=0.9"
    limit = "+algorithm.care.parity.max_difference=0.05"
    config = composed("algorithm.adv_estimator=care", limit, cut)
    message = r"algorithm.care.parity.max_difference = 0.05, but rollout.top_p = 0.9 cuts the"
    with pytest.raises(ValueError, match=message):
        validate(config)
    validate(composed("algorithm.adv_estimator=care", cut))
    validate(composed("algorithm.adv_estimator=care", limit))


def test_a_subgroup_that_can_never_fill_is_a_warning(
    composed: Composed, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        validate(composed("algorithm.adv_estimator=care", "+algorithm.care.K=9"))
    assert "algorithm.care.K" in caplog.text


def test_the_recipe_is_on_verls_search_path(composed: Composed) -> None:
    config = validate(composed("+recipe=embedded", "algorithm.adv_estimator=care"))
    assert config.trainer.device == "cpu"
    assert config.algorithm.care.rgr.cue == "Look again."
