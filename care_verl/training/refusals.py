"""What no run of ours can be combined with, refused before Ray starts.

Each message names the key, its value and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from care_verl.algorithm.method_settings import MethodSettings
from care_verl.training.run.misfit import SINGLE_TURN
from care_verl.training.wiring import Refusal, Wiring

ASYNCHRONOUS = {
    "async_training": "verl.experimental.fully_async_policy",
    "rollout": "verl.experimental.one_step_off_policy",
}
"""Sections that only the configuration of such an entry point has."""

_ROLLOUT = "actor_rollout_ref.rollout"
_ONE_TURN = "rows of several turns, or with calls of tools, are not supported yet"
_ON_POLICY = "advantages are not corrected for an off-policy rollout"

COMMON = (
    Refusal("trainer.use_v1", (True,), "verl's V1 trainer is the one that is extended"),
    Refusal(
        "trainer.v1.trainer_mode",
        ("sync",),
        "an asynchronous trainer scores rows under other weights than decoded them",
    ),
    Refusal(
        f"{_ROLLOUT}.agent.agent_loop_manager_class",
        (None,),
        "the method brings its own, whose workers see whole groups; leave the key unset",
    ),
    Refusal(
        f"{_ROLLOUT}.name",
        ("vllm",),
        "rollout servers are watched for deaths, which is done for vLLM only",
    ),
    Refusal(f"{_ROLLOUT}.multi_turn.enable", (False, None), _ONE_TURN),
    Refusal(f"{_ROLLOUT}.agent.default_agent_loop", (SINGLE_TURN,), _ONE_TURN),
    Refusal(f"{_ROLLOUT}.agent.agent_loop_config_path", (None,), _ONE_TURN),
    Refusal(
        "algorithm.rollout_correction.bypass_mode",
        (False, None),
        "old log-probabilities come from the actor, under the context a row was decoded in",
    ),
    Refusal("algorithm.rollout_correction.rollout_is", (None,), _ON_POLICY),
    Refusal("algorithm.rollout_correction.rollout_rs", (None,), _ON_POLICY),
    Refusal("actor_rollout_ref.actor.strategy", ("fsdp", "fsdp2"), "other engines were not tried"),
    Refusal(
        "actor_rollout_ref.actor.policy_loss.loss_mode",
        ("vanilla",),
        "the method decides on its loss; leave the key unset",
    ),
    Refusal(
        "actor_rollout_ref.actor.checkpoint.async_save",
        (False, None),
        "it is Megatron's; verl would never name a checkpoint to resume from",
    ),
    Refusal("critic.enable", (False, None), "it has no critic"),
    Refusal("distillation.enabled", (False, None), "distillation has a loss of its own"),
)


def refuse_unsupported(config: DictConfig, wiring: Wiring[Any], settings: MethodSettings) -> None:
    """Raise ValueError for the first setting that the method cannot work with."""
    title = wiring.method.title
    refuse_asynchronous(config, title)
    refuse_values(config, (*COMMON, *wiring.refusals), title)
    _refuse_late_rewards(config, wiring.early_rewards)
    _refuse_equal_rollouts(config, settings)
    wiring.refuse(config, settings)


def refuse_values(config: DictConfig, refusals: Iterable[Refusal], method: str) -> None:
    """Raise ValueError for the first key that has none of its allowed values."""
    for refusal in refusals:
        value = OmegaConf.select(config, refusal.key)
        if value not in refusal.allowed:
            expected = " or ".join(repr(item) for item in refusal.allowed)
            raise ValueError(
                f"{refusal.key} = {value!r}; {method} needs {expected}: {refusal.remedy}"
            )


def refuse_asynchronous(config: DictConfig, title: str) -> None:
    """Raise ValueError for the configuration of an asynchronous entry point of verl's."""
    for section, main in ASYNCHRONOUS.items():
        if OmegaConf.select(config, section) is not None:
            raise ValueError(
                f"the configuration has a section `{section}`: it is that of {main}, whose trainer "
                f"updates on rows that older weights decoded; {title} needs verl's synchronous V1 "
                "trainer: start `python -m verl.trainer.main_ppo`, without the section"
            )


def refuse_uncompleted(config: DictConfig, wiring: Wiring[Any]) -> None:
    """Raise ValueError where a run is about to start whose configuration was not completed."""
    if OmegaConf.select(config, "trainer.v1.trainer_mode") == wiring.trainer_mode:
        return
    title = wiring.method.title
    refuse_asynchronous(config, title)
    raise ValueError(
        f"run_ppo was called for a {title} run whose configuration validate_config has not seen, "
        "which completes it; call verl.utils.config.validate_config before, as "
        "verl.trainer.main_ppo does"
    )


def _refuse_late_rewards(config: DictConfig, needed: str) -> None:
    """Where rewards come after sampling; `needed` says what needs them before."""
    model = config.reward.reward_model
    if model.enable and not model.enable_resource_pool:
        raise ValueError(
            "reward.reward_model.enable = True with enable_resource_pool = False (a colocated "
            f"reward model) scores only after sampling, but {needed}; give the reward model its "
            "own pool (reward.reward_model."
            "enable_resource_pool=True) or use a rule-based reward"
        )


def _refuse_equal_rollouts(config: DictConfig, settings: MethodSettings) -> None:
    """Where all rollouts of a group would have one seed."""
    if config.actor_rollout_ref.rollout.full_determinism and not settings.seeded:
        raise ValueError(
            "actor_rollout_ref.rollout.full_determinism = True gives all requests of a replica the "
            "same seed, so that the rollouts of a group are equal; set "
            f"++{settings.KEY}.seeded=True, which gives each its own"
        )
