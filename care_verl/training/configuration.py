"""One flag: `algorithm.adv_estimator=care` completed to a full configuration.

Runs in the driver, inside verl's `validate_config`, before Ray starts. Values of the method's
section are written to the places where verl reads them, so that the printed configuration is the
one in force.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, open_dict

from care_verl.common.logs import logger_of
from care_verl.platform.places import QUEUE_WORKER, TASK_RUNNER
from care_verl.platform.seam import Seam
from care_verl.training.refusals import refuse_unsupported
from care_verl.training.wiring import Wiring

logger = logger_of(__name__)

PAPER_GROUP_SIZE = 8


RELIES_ON = (
    Seam(
        f"{TASK_RUNNER}.init_agent_loop_manager",
        "the manager is chosen by name",
        '.get("agent_loop_manager_class")',
        "load_class_from_fqn(manager_class_fqn",
    ),
    Seam(
        f"{QUEUE_WORKER}.generate_sequences",
        "sampling parameters ask for log-probabilities",
        "sampling_params = dict(",
        "logprobs=config.calculate_log_probs",
    ),
)


def expand(config: DictConfig, wiring: Wiring[Any]) -> None:
    """Complete a run's configuration in place. Raises ValueError on what its method cannot do."""
    settings = wiring.settings_of(config)
    refuse_unsupported(config, wiring, settings)
    with open_dict(config):
        config.algorithm[wiring.method.name] = settings.to_mapping()
        config.trainer.v1.trainer_mode = wiring.trainer_mode
        config.actor_rollout_ref.rollout.agent.agent_loop_manager_class = wiring.agent_loop_manager
        _complete_data(config)
        _complete_rollout_size(config)
        _complete_reward(config)
        wiring.complete(config, settings)
        if wiring.needs_reference(config) and not config.actor_rollout_ref.actor.use_dynamic_bsz:
            _complete_reference_micro_batch(config)
    for warning in settings.warnings_for(int(config.actor_rollout_ref.rollout.n)):
        logger.warning(warning)


def _complete_data(config: DictConfig) -> None:
    """Images are decoded in the rollouts, unless the user brought a dataset of their own."""
    if config.data.custom_cls.path is None:
        config.data.custom_cls.path = "pkg://care_verl.training.dataset"
        config.data.custom_cls.name = "CareDataset"


def _complete_rollout_size(config: DictConfig) -> None:
    """A group has several rows."""
    rollout = config.actor_rollout_ref.rollout
    if int(rollout.n) == 1:
        rollout.n = PAPER_GROUP_SIZE
        logger.warning("rollout.n = 1 cannot form a group; it becomes G = %d", PAPER_GROUP_SIZE)


def _complete_reference_micro_batch(config: DictConfig) -> None:
    """A GRPO command line without KL names no reference micro-batch; take the rollout's."""
    ref, rollout = config.actor_rollout_ref.ref, config.actor_rollout_ref.rollout
    if ref.log_prob_micro_batch_size is None and ref.log_prob_micro_batch_size_per_gpu is None:
        ref.log_prob_micro_batch_size_per_gpu = rollout.log_prob_micro_batch_size_per_gpu


def _complete_reward(config: DictConfig) -> None:
    """The verifier scores, unless the user brought a reward function of their own."""
    manager = config.reward.reward_manager
    own_function = config.reward.custom_reward_function.path is not None
    if own_function or manager.source != "register" or manager.name != "naive":
        return
    manager.source = "importlib"
    manager.name = "CareRewardManager"
    manager.module.path = "pkg://care_verl.training.reward_manager"
