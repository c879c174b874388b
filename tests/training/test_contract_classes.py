"""What stands above and beside our classes in verl 0.9.1: bases, workers, registries."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import ray
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY
from verl.trainer.ppo.reward import load_reward_manager, resolve_reward_manager_cls
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.workers.engine_workers import ActorRolloutRefWorker, TrainingWorker
from verl.workers.rollout.replica import RolloutReplicaRegistry

from care_verl.platform.actor_classes import plain_class
from care_verl.training.care import agent_loop, trainer, worker
from care_verl.training.care.policy_loss import care_policy_loss
from care_verl.training.care.wiring import POLICY_LOSS, TRAINER_MODE
from care_verl.training.recipe_search_path import RecipeSearchPath
from care_verl.training.reward_manager import CareRewardManager
from care_verl.training.run import agent_loop as run_agent_loop
from care_verl.training.run import worker as run_worker
from care_verl.training.run.trainers import base as run_trainer

WORKER_TQ = plain_class(AgentLoopWorkerTQ)


def test_plain_classes_stand_behind_the_actor_classes() -> None:
    """Ray forbids to subclass an actor class; these are what CARE subclasses or recognises."""
    assert WORKER_TQ.__name__ == "AgentLoopWorkerTQ"
    assert issubclass(WORKER_TQ, AgentLoopWorker)
    assert run_agent_loop.GroupWorker.__mro__[1] is WORKER_TQ
    assert plain_class(ray.remote(ActorRolloutRefWorker)) is ActorRolloutRefWorker


@pytest.mark.parametrize(
    ("ours", "base"),
    [
        (run_agent_loop.GroupWorker, WORKER_TQ),
        (agent_loop.CareAgentLoopWorker, run_agent_loop.GroupWorker),
        (run_trainer.RunTrainer, PPOTrainerSync),
        (trainer.CareTrainer, PPOTrainerSync),
        (run_worker.RunTrainingWorker, TrainingWorker),
        (run_worker.RunActorRolloutRefWorker, ActorRolloutRefWorker),
        (worker.CareTrainingWorker, TrainingWorker),
        (worker.CareActorRolloutRefWorker, ActorRolloutRefWorker),
        (CareRewardManager, RewardManagerBase),
    ],
)
def test_every_override_has_something_to_override(ours: type, base: type) -> None:
    """A method that verl calls must exist in verl, or CARE's would never be called."""
    own = {
        "_opens_rationale", "_publish", "_record", "_reflect", "_decode", "_note_skipped", "_piece",
        "_close", "_complete", "_new_group", "_put", "_rollout_params", "_settled",
        "_assign_and_drop", "_read_rows", "_dump_all_rows",
        "_remove_folders", "remove_folders", "_around_steps", "_score", "_response_text",
        "_put_right", "_begin_record",
    }  # fmt: skip
    functions = {name for name, value in vars(ours).items() if inspect.isfunction(value)}
    missing = {name for name in functions - own if not hasattr(base, name)}
    assert not missing, f"{ours.__name__} overrides {missing}, which {base.__name__} has not"


def test_the_workers_calls_need_no_dispatch() -> None:
    """verl calls what `CareTrainingWorker` overrides within the actor, not from the driver.

    That it calls it there stands in `care.actor_pooling`.
    """
    assert worker.CareActorRolloutRefWorker.actor_worker_cls is worker.CareTrainingWorker
    assert ActorRolloutRefWorker.actor_worker_cls is TrainingWorker


def test_the_registries_know_care() -> None:
    assert get_trainer_cls(TRAINER_MODE) is trainer.CareTrainer
    assert get_trainer_cls("sync") is PPOTrainerSync
    assert POLICY_LOSS_REGISTRY[POLICY_LOSS] is care_policy_loss
    assert "care" in ADV_ESTIMATOR_REGISTRY
    assert RecipeSearchPath in Plugins.instance().discover(SearchPathPlugin)


def test_the_rollout_registry_calls_a_loader() -> None:
    """`register_replica` puts a loader under a name that is taken."""
    known = dict(RolloutReplicaRegistry._registry)
    assert "vllm" in known
    try:
        RolloutReplicaRegistry.register("vllm", lambda: "ours")  # type: ignore[arg-type,return-value]
        assert RolloutReplicaRegistry.get("vllm") == "ours"
    finally:
        RolloutReplicaRegistry._registry.update(known)


def test_the_reward_manager_is_found_through_its_package(
    composed: Callable[..., DictConfig],
) -> None:
    config = composed(
        "reward.reward_manager.source=importlib",
        "reward.reward_manager.name=CareRewardManager",
        "reward.reward_manager.module.path=pkg://care_verl.training.reward_manager",
    )
    assert resolve_reward_manager_cls(config) is CareRewardManager
    manager = load_reward_manager(
        config, "a tokenizer", reward_router_address=None, reward_model_tokenizer=None
    )
    assert isinstance(manager, CareRewardManager)
    assert manager.tokenizer == "a tokenizer"
