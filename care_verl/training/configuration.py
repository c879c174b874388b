"""One flag: `algorithm.adv_estimator=care` completed to a full configuration.

Runs in the driver, inside verl's `validate_config`, before Ray starts. Values of `algorithm.care`
are written to the places where verl reads them, so that the printed configuration is the one in
force.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from care_verl.algorithm import CareConfig
from care_verl.algorithm.settings import SettingsT
from care_verl.logs import logger_of
from care_verl.training.fields import HARVEST
from care_verl.training.refusals import refuse_unsupported
from care_verl.training.run.replacement import put

logger = logger_of(__name__)

ESTIMATOR = "care"
TRAINER_MODE = "care_verl_plugin"
"""So named for the error of a process without the plugin: Unknown trainer 'care_verl_plugin'."""

POLICY_LOSS = "care"
PAPER_GROUP_SIZE = 8


def is_care(config: DictConfig) -> bool:
    """Whether this run asked for CARE."""
    return str(OmegaConf.select(config, "algorithm.adv_estimator")) == ESTIMATOR


def care_config(config: DictConfig) -> CareConfig:
    """The validated `algorithm.care` of a run. Raises ValueError on an unknown key or bad value."""
    return settings_of(config, CareConfig)


def settings_of(config: DictConfig, kind: type[SettingsT]) -> SettingsT:
    """The settings in the section `kind.KEY` of a run, validated; the defaults without one.

    Raises ValueError on an unknown key or bad value.
    """
    section = OmegaConf.select(config, kind.KEY)
    if section is None:
        return kind()
    values = OmegaConf.to_container(section, resolve=True)
    if not isinstance(values, Mapping):
        raise ValueError(f"{kind.KEY} = {values!r}; expected a mapping of settings")
    return kind.from_mapping({str(key): value for key, value in values.items()})


def expand(config: DictConfig) -> None:
    """Complete a CARE run's configuration in place. Raises ValueError on what CARE cannot do."""
    care = care_config(config)
    refuse_unsupported(config, care)
    with open_dict(config):
        config.algorithm.care = care.to_mapping()
        _expand_trainer(config)
        complete_data(config)
        _expand_rollout(config, care)
        _expand_actor(config, care)
        complete_reward(config)
    for warning in care.warnings_for(int(config.actor_rollout_ref.rollout.n)):
        logger.warning(warning)


def _expand_trainer(config: DictConfig) -> None:
    config.trainer.v1.trainer_mode = TRAINER_MODE


def complete_data(config: DictConfig) -> None:
    """Images are decoded in the rollouts, unless the user brought a dataset of their own."""
    if config.data.custom_cls.path is None:
        config.data.custom_cls.path = "pkg://care_verl.training.dataset"
        config.data.custom_cls.name = "CareDataset"


def complete_rollout_size(config: DictConfig) -> None:
    """A group has several rows."""
    rollout = config.actor_rollout_ref.rollout
    if int(rollout.n) == 1:
        rollout.n = PAPER_GROUP_SIZE
        logger.warning("rollout.n = 1 cannot form a group; it becomes G = %d", PAPER_GROUP_SIZE)


def _expand_rollout(config: DictConfig, care: CareConfig) -> None:
    complete_rollout_size(config)
    rollout = config.actor_rollout_ref.rollout
    needed = "the rescue compares rows by them; remove the override"
    put(config, "actor_rollout_ref.rollout.calculate_log_probs", True, needed)
    rollout.agent.agent_loop_manager_class = (
        "care_verl.training.care.agent_loop.CareAgentLoopManager"
    )
    custom: dict[str, Any] = dict(rollout.get("custom") or {})
    custom[HARVEST] = {
        "think_tag": care.regions.think_tag,
        "answer_tag": care.regions.answer_tag,
    }
    rollout.custom = custom


def _expand_actor(config: DictConfig, care: CareConfig) -> None:
    actor = config.actor_rollout_ref.actor
    actor.policy_loss.loss_mode = POLICY_LOSS
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
    if actor.use_kl_loss and not actor.use_dynamic_bsz:
        complete_reference_micro_batch(config)


def complete_reference_micro_batch(config: DictConfig) -> None:
    """A GRPO command line without KL names no reference micro-batch; take the rollout's."""
    ref, rollout = config.actor_rollout_ref.ref, config.actor_rollout_ref.rollout
    if ref.log_prob_micro_batch_size is None and ref.log_prob_micro_batch_size_per_gpu is None:
        ref.log_prob_micro_batch_size_per_gpu = rollout.log_prob_micro_batch_size_per_gpu


def complete_reward(config: DictConfig) -> None:
    """The verifier scores, unless the user brought a reward function of their own."""
    manager = config.reward.reward_manager
    own_function = config.reward.custom_reward_function.path is not None
    if own_function or manager.source != "register" or manager.name != "naive":
        return
    manager.source = "importlib"
    manager.name = "CareRewardManager"
    manager.module.path = "pkg://care_verl.training.reward_manager"
