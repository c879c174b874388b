"""verl's own configuration, composed as `main_ppo` composes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transfer_queue
from hydra import compose, initialize_config_module
from omegaconf import DictConfig

from care_verl.data.embedded.tokenizer import build_tokenizer
from care_verl.training.checkpointing.checkpoints import Checkpoints

from .samples import MemoryQueue
from .workbench import Script, Workbench

WORKING_GRPO_LINE = [
    "algorithm.adv_estimator=grpo",
    "data.train_batch_size=32",
    "actor_rollout_ref.model.path=/models/policy",
    "actor_rollout_ref.actor.ppo_mini_batch_size=32",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.rollout.name=vllm",
    "actor_rollout_ref.rollout.n=8",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
]


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """A function: Hydra overrides on top of a working GRPO command line -> configuration."""
    import verl  # noqa: F401  # loads the plugin, as `python -m verl...` does

    def build(*overrides: str) -> DictConfig:
        with initialize_config_module("verl.trainer.config", version_base=None):
            return compose("ppo_trainer", overrides=[*WORKING_GRPO_LINE, *overrides])

    return build


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The embedded task's own tokenizer."""
    return build_tokenizer()


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> MemoryQueue:
    """An empty queue in this process, in the place of verl's."""
    memory = MemoryQueue()
    calls = ["kv_batch_put", "kv_batch_get", "kv_clear"]
    calls += ["async_kv_put", "async_kv_batch_put", "async_kv_list", "async_kv_clear"]
    for name in calls:
        monkeypatch.setattr(transfer_queue, name, getattr(memory, name))
    return memory


@pytest.fixture
def no_metrics_of_verl(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl's `_compute_metrics` tells of the timing and of no throughput, and needs no rows."""
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

    def compute(
        trainer: Any, batch: Any, metrics: dict[str, Any], timing: dict[str, Any], *rest: int
    ) -> None:
        metrics.update({f"timing_s/{name}": seconds for name, seconds in timing.items()})
        metrics["timing_s/gen"] = 0.5
        metrics.update({"perf/total_num_tokens": 1.0, "perf/throughput": 0.0})

    monkeypatch.setattr(PPOTrainerSync, "_compute_metrics", compute)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tokenizer: Any, queue: MemoryQueue) -> Any:
    """A function: script -> workbench."""

    def build(script: Script, **options: Any) -> Workbench:
        return Workbench(monkeypatch, tokenizer, script, **options)

    return build


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")
