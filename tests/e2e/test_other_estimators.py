"""GRPO with the plugin and without it: the same metrics of a step for the same seed.

Without means `VERL_USE_EXTERNAL_PLUGINS=care_cpu`: verl with nothing but the CPU platform, which
it cannot run without here. Rollouts are decoded one after the other, so that both runs sample the
same tokens.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from .running import Run

pytestmark = pytest.mark.e2e

MEASURED = ("timing", "perf/")
"""Parts of the names of metrics that are seconds, memory and rates."""


def grpo_metrics(
    folder: Path, overrides: list[str], environment: dict[str, str]
) -> list[dict[str, Any]]:
    folder.mkdir(parents=True)
    agent = Path(__file__).with_name("serial_agent.py")
    loops = folder / "agent_loops.yaml"
    loops.write_text(
        "- name: serial_single_turn_agent\n  _target_: serial_agent.SerialSingleTurnAgent\n"
    )
    settings = [
        *overrides,
        "algorithm.adv_estimator=grpo",
        "~algorithm.care",
        "data.train_batch_size=8",
        "actor_rollout_ref.actor.ppo_mini_batch_size=8",
        "actor_rollout_ref.rollout.agent.default_agent_loop=serial_single_turn_agent",
        f"actor_rollout_ref.rollout.agent.agent_loop_config_path={loops}",
        "trainer.save_freq=-1",
        "trainer.total_training_steps=1",
    ]
    paths = [str(agent.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with Run(folder, settings, environment) as run:
        assert run.finish() == 0, run.tail()
        return [data for _, data in run.metrics()]


def test_grpo_is_the_same_with_and_without_the_plugin(overrides: list[str], tmp_path: Path) -> None:
    plain = ["hydra.searchpath=[pkg://care_verl.recipes]"]
    without = grpo_metrics(
        tmp_path / "without", [*overrides, *plain], {"VERL_USE_EXTERNAL_PLUGINS": "care_cpu"}
    )
    active = grpo_metrics(tmp_path / "with", overrides, {})
    assert len(without) == len(active) == 1
    for before, after in zip(without, active, strict=True):
        assert set(before) == set(after)
        for name in before:
            if any(part in name for part in MEASURED):
                continue
            assert after[name] == pytest.approx(before[name], rel=1e-3, abs=1e-5), name
