"""CARE's wiring: what it cannot be combined with, and which of verl's settings it decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig

from care_verl.algorithm import CareConfig
from care_verl.methods.care import CARE
from care_verl.rollout.checks import check_rollout_config
from care_verl.training.care.sampling import two_distributions
from care_verl.training.fields import HARVEST
from care_verl.training.run.replacement import put
from care_verl.training.wiring import Refusal, Wiring, settings_of

TRAINER_MODE = "care_verl_plugin"
"""So named for the error of a process without the plugin: Unknown trainer 'care_verl_plugin'."""

POLICY_LOSS = "care"


class CareWiring(Wiring[CareConfig]):
    """`algorithm.adv_estimator=care`."""

    method = CARE
    settings = CareConfig
    trainer = "care_verl.training.care.trainer"
    trainer_mode = TRAINER_MODE
    agent_loop_manager = "care_verl.training.care.agent_loop.CareAgentLoopManager"
    early_rewards = "CARE picks anchors while groups are decoded"
    fills_up = True
    refusals = (
        Refusal(
            "algorithm.use_kl_in_reward",
            (False,),
            "Eq. 13 has its KL in the loss; set algorithm.care.beta instead",
        ),
        Refusal(
            "algorithm.filter_groups.enable",
            (False, None),
            "all-wrong groups would be removed before CARE can rescue them, and all-right groups "
            "it skips by itself",
        ),
    )

    def refuse(self, config: DictConfig, settings: CareConfig) -> None:
        """Also refuses what the harvest cannot work with."""
        _refuse_parity(config, settings)
        check_rollout_config(config.actor_rollout_ref.rollout)

    def complete(self, config: DictConfig, settings: CareConfig) -> None:
        """The harvest's request, the loss, its clipping and its KL."""
        _complete_rollout(config, settings)
        _complete_actor(config, settings)

    def losses(self) -> Mapping[str, Callable[..., Any]]:
        """That of Eq. 12."""
        from care_verl.training.care.policy_loss import care_policy_loss

        return {POLICY_LOSS: care_policy_loss}

    def hard_negatives(self, settings: CareConfig) -> int | None:
        """K."""
        return settings.K

    def reflection_tokens(self, settings: CareConfig) -> int | None:
        """RGR's."""
        return None if settings.rgr.mode == "off" else settings.rgr.min_new_tokens


WIRING = CareWiring()


def care_config(config: DictConfig) -> CareConfig:
    """The validated `algorithm.care` of a run. Raises ValueError on an unknown key or bad value."""
    return settings_of(config, CareConfig)


def _complete_rollout(config: DictConfig, care: CareConfig) -> None:
    rollout = config.actor_rollout_ref.rollout
    needed = "the rescue compares rows by them; remove the override"
    put(config, "actor_rollout_ref.rollout.calculate_log_probs", True, needed)
    custom: dict[str, Any] = dict(rollout.get("custom") or {})
    custom[HARVEST] = {
        "think_tag": care.regions.think_tag,
        "answer_tag": care.regions.answer_tag,
    }
    rollout.custom = custom


def _complete_actor(config: DictConfig, care: CareConfig) -> None:
    config.actor_rollout_ref.actor.policy_loss.loss_mode = POLICY_LOSS
    # Eq. 13's KL: per row the mean over its trained tokens, then the mean over S*.
    mean = "seq-mean-token-mean", "Eq. 13's KL is the mean over rows of their means; no key sets it"
    for name, value, decided_by in (
        ("clip_ratio_low", care.clip_low, "++algorithm.care.clip_low=... sets it"),
        ("clip_ratio_high", care.clip_high, "++algorithm.care.clip_high=... sets it"),
        ("loss_agg_mode", *mean),
        ("use_kl_loss", care.beta > 0, "++algorithm.care.beta=... above 0 switches it on"),
        ("kl_loss_coef", care.beta, "++algorithm.care.beta=... sets it"),
    ):
        put(config, f"actor_rollout_ref.actor.{name}", value, decided_by)


def _refuse_parity(config: DictConfig, care: CareConfig) -> None:
    why = two_distributions(config.actor_rollout_ref.rollout)
    limit = care.parity.max_difference
    if limit is not None and why is not None:
        raise ValueError(
            f"algorithm.care.parity.max_difference = {limit!r}, but {why}, so that the distance is "
            "large where nothing is wrong: set the limit to null, or sample from the whole "
            "distribution (docs/metrics.md, Parity)"
        )
