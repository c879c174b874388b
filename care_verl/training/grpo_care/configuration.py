"""One flag: `algorithm.adv_estimator=grpo_care` completed to a full configuration.

Runs where CARE's does (`configuration`): in the driver, inside verl's `validate_config`.
"""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf, open_dict

from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.logs import logger_of
from care_verl.training.configuration import (
    complete_data,
    complete_reference_micro_batch,
    complete_reward,
    complete_rollout_size,
    settings_of,
)
from care_verl.training.grpo_care.refusals import refuse_unsupported
from care_verl.training.run.replacement import put

logger = logger_of(__name__)

ESTIMATOR = "grpo_care"
TRAINER_MODE = "care_verl_plugin_grpo_care"
"""So named for the error of a process without the plugin, as CARE's."""

NO_SECOND_CLIP = 1e9
"""`actor.clip_ratio_c` of verl's vanilla loss, which clips a second time where the ratio of a row
with a negative advantage is above it. verl holds ratios below e^20, and so it never is."""


def is_grpo_care(config: DictConfig) -> bool:
    """Whether this run asked for GRPO-CARE."""
    return str(OmegaConf.select(config, "algorithm.adv_estimator")) == ESTIMATOR


def grpo_care_config(config: DictConfig) -> GrpoCareConfig:
    """The validated `algorithm.grpo_care` of a run.

    Raises ValueError on an unknown key or a bad value.
    """
    return settings_of(config, GrpoCareConfig)


def expand(config: DictConfig) -> None:
    """Complete a GRPO-CARE run's configuration in place.

    Raises ValueError on what GRPO-CARE cannot do.
    """
    settings = grpo_care_config(config)
    refuse_unsupported(config)
    workers = config.actor_rollout_ref
    with open_dict(config):
        config.algorithm.grpo_care = settings.to_mapping()
        config.trainer.v1.trainer_mode = TRAINER_MODE
        complete_data(config)
        complete_rollout_size(config)
        complete_reward(config)
        workers.rollout.agent.agent_loop_manager_class = (
            "care_verl.training.grpo_care.agent_loop.GrpoCareAgentLoopManager"
        )
        put(
            config,
            "actor_rollout_ref.actor.loss_agg_mode",
            "seq-mean-token-mean",
            "its authors take the mean over rows of their means; no key sets it",
        )
        put(
            config,
            "actor_rollout_ref.actor.clip_ratio_c",
            NO_SECOND_CLIP,
            "its loss is clipped once, by clip_ratio_low and clip_ratio_high; no key sets it",
        )
        if not workers.actor.use_dynamic_bsz:
            complete_reference_micro_batch(config)
        # A forward-only model has no optimizer, and nothing random.
        workers.ref.checkpoint = {
            "_target_": "verl.trainer.config.CheckpointConfig",
            "save_contents": ["model"],
            "load_contents": ["model"],
        }
