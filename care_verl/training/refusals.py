"""What a CARE run cannot be combined with, refused before Ray starts.

Each message names the key, its value and the remedy.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from care_verl.algorithm import CareConfig
from care_verl.rollout.checks import check_rollout_config
from care_verl.training.care.sampling import two_distributions
from care_verl.training.run.misfit import SINGLE_TURN

ASYNCHRONOUS = {
    "async_training": "verl.experimental.fully_async_policy",
    "rollout": "verl.experimental.one_step_off_policy",
}
"""Sections that only the configuration of such an entry point has."""


def refuse_unsupported(config: DictConfig, care: CareConfig) -> None:
    """Raise ValueError for the first setting that CARE cannot work with."""
    refuse_asynchronous(config, "CARE")
    _refuse_trainer(config)
    refuse_agents(config, "CARE")
    refuse_late_rewards(config, "CARE picks anchors while groups are decoded")
    _refuse_algorithm(config)
    _refuse_actor(config)
    refuse_equal_rollouts(config, CareConfig.KEY)
    _refuse_parity(config, care)
    check_rollout_config(config.actor_rollout_ref.rollout)


def refuse_asynchronous(config: DictConfig, method: str) -> None:
    """Raise ValueError for the configuration of an asynchronous entry point of verl's."""
    for section, main in ASYNCHRONOUS.items():
        if OmegaConf.select(config, section) is not None:
            raise ValueError(
                f"the configuration has a section `{section}`: it is that of {main}, whose trainer "
                f"updates on rows that older weights decoded; {method} needs verl's synchronous V1 "
                "trainer: start `python -m verl.trainer.main_ppo`, without the section"
            )


def refuse_uncompleted(config: DictConfig, method: str, trainer_mode: str) -> None:
    """Raise ValueError where a run is about to start whose configuration was not completed.

    `trainer_mode` is what completion sets.
    """
    if OmegaConf.select(config, "trainer.v1.trainer_mode") == trainer_mode:
        return
    refuse_asynchronous(config, method)
    raise ValueError(
        f"run_ppo was called for a {method} run whose configuration validate_config has not seen, "
        "which completes it; call verl.utils.config.validate_config before, as "
        "verl.trainer.main_ppo does"
    )


def refuse_agents(config: DictConfig, method: str) -> None:
    """Raise ValueError where rows may have several turns, as far as the configuration tells."""
    one_turn = "rows of several turns, or with calls of tools, are not supported yet"
    rollout = "actor_rollout_ref.rollout"
    refuse(config, f"{rollout}.multi_turn.enable", (False, None), one_turn, method)
    refuse(config, f"{rollout}.agent.default_agent_loop", (SINGLE_TURN,), one_turn, method)
    refuse(config, f"{rollout}.agent.agent_loop_config_path", (None,), one_turn, method)


def refuse(
    config: DictConfig, key: str, allowed: tuple[Any, ...], remedy: str, method: str = "CARE"
) -> None:
    """Raise ValueError unless the key has one of the allowed values."""
    value = OmegaConf.select(config, key)
    if value not in allowed:
        expected = " or ".join(repr(item) for item in allowed)
        raise ValueError(f"{key} = {value!r}; {method} needs {expected}: {remedy}")


def _refuse_trainer(config: DictConfig) -> None:
    refuse(config, "trainer.use_v1", (True,), "verl's V1 trainer carries the group stage")
    refuse(
        config,
        "trainer.v1.trainer_mode",
        ("sync",),
        "an asynchronous trainer scores rows under other weights than decoded them",
    )
    refuse(
        config,
        "actor_rollout_ref.rollout.agent.agent_loop_manager_class",
        (None,),
        "the group stage lives in the agent-loop manager; leave the key unset",
    )


def refuse_late_rewards(config: DictConfig, needed: str) -> None:
    """Raise ValueError where rewards come after sampling; `needed` says what needs them before."""
    model = config.reward.reward_model
    if model.enable and not model.enable_resource_pool:
        raise ValueError(
            "reward.reward_model.enable = True with enable_resource_pool = False (a colocated "
            f"reward model) scores only after sampling, but {needed}; give the reward model its "
            "own pool (reward.reward_model."
            "enable_resource_pool=True) or use a rule-based reward"
        )


def _refuse_algorithm(config: DictConfig) -> None:
    refuse(
        config,
        "algorithm.use_kl_in_reward",
        (False,),
        "Eq. 13 has its KL in the loss; set algorithm.care.beta instead",
    )
    refuse(
        config,
        "algorithm.rollout_correction.bypass_mode",
        (False, None),
        "old log-probabilities come from the actor, under the context a row was decoded in",
    )
    for key in ("rollout_is", "rollout_rs"):
        refuse(
            config,
            f"algorithm.rollout_correction.{key}",
            (None,),
            "CARE's advantages are not corrected for an off-policy rollout",
        )
    if OmegaConf.select(config, "algorithm.filter_groups.enable"):
        raise ValueError(
            "algorithm.filter_groups.enable = True removes all-wrong groups before CARE can "
            "rescue them; set it to False (CARE skips all-right groups by itself)"
        )


def _refuse_actor(config: DictConfig) -> None:
    refuse(
        config,
        "actor_rollout_ref.actor.strategy",
        ("fsdp", "fsdp2"),
        "other engines were not tried",
    )
    refuse(
        config,
        "actor_rollout_ref.actor.policy_loss.loss_mode",
        ("vanilla",),
        "CARE brings its own policy loss (Eq. 12); leave the key unset",
    )
    refuse(
        config,
        "actor_rollout_ref.actor.checkpoint.async_save",
        (False, None),
        "it is Megatron's; verl would never name a checkpoint to resume from",
    )
    if config.critic.enable:
        raise ValueError("critic.enable = True; CARE has no critic, set it to null or False")
    if OmegaConf.select(config, "distillation.enabled"):
        raise ValueError("distillation.enabled = True cannot be combined with CARE")


def _refuse_parity(config: DictConfig, care: CareConfig) -> None:
    why = two_distributions(config.actor_rollout_ref.rollout)
    limit = care.parity.max_difference
    if limit is not None and why is not None:
        raise ValueError(
            f"algorithm.care.parity.max_difference = {limit!r}, but {why}, so that the distance is "
            "large where nothing is wrong: set the limit to null, or sample from the whole "
            "distribution (docs/metrics.md, Parity)"
        )


def refuse_equal_rollouts(config: DictConfig, section: str) -> None:
    """Raise ValueError where all rollouts of a group would have one seed.

    `section` is the key of the method's settings.
    """
    seeded = OmegaConf.select(config, f"{section}.seeded")
    if config.actor_rollout_ref.rollout.full_determinism and not seeded:
        raise ValueError(
            "actor_rollout_ref.rollout.full_determinism = True gives all requests of a replica the "
            "same seed, so that the rollouts of a group are equal; set "
            f"++{section}.seeded=True, which gives each its own"
        )
