"""Faults that are too slow to provoke for every change: `make proofs`.

Each is really done, by SIGKILL where a process dies. What a cluster adds, a node that is lost or a
network that is cut, cannot be shown on one machine.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.data.embedded.coldstart import EmbeddedPaths

from .faults import CUT_PNG, SMALL, ended, groups, with_images
from .moments import Moment, Moments
from .running import Run

pytestmark = pytest.mark.proof

LONG = [*SMALL, "trainer.total_training_steps=500"]

SERVER = "RolloutDiedError: the rollout server"
ENGINE = "RolloutDiedError: the vLLM engine of rollout replica 0 died"
AGENT_LOOP = "RunActorDiedError: agent-loop worker 0 died"
REWARD = "RunActorDiedError: reward worker 0 died"
ACTOR = "RunActorDiedError: training worker 0 died"
STORAGE = "RunActorDiedError: storage of the queue 0 died"
CONTROLLER = "RunActorDiedError: the controller of the queue died"

KILLED = {
    "engine in the RGR decode": (Moment("reflection", "kill", whom="EngineCore"), ENGINE),
    "rollout server": (Moment("rollout", "kill", 2, 20, whom="CareVLLMServer"), SERVER),
    "agent-loop worker": (
        Moment("rollout", "kill", 2, 20),
        AGENT_LOOP,
    ),
    "reward worker": (Moment("reward", "kill", 2, 5), REWARD),
    "actor in the update": (Moment("update", "kill", count=3), ACTOR),
    "actor while scoring log-probabilities": (Moment("log_prob", "kill", count=3), ACTOR),
    "storage of the queue": (Moment("rollout", "kill", 2, 20, whom="SimpleStorageUnit"), STORAGE),
    "controller of the queue": (
        Moment("rollout", "kill", 2, 20, whom="TransferQueueController"),
        CONTROLLER,
    ),
}
"""Process, when it is killed, and what the user must read."""


@pytest.mark.parametrize("victim", KILLED)
def test_a_killed_process_ends_the_run(victim: str, overrides: list[str], tmp_path: Path) -> None:
    moment, message = KILLED[victim]
    at = Moments(tmp_path / "marks", moment)
    with Run(tmp_path / "run", [*overrides, *LONG], at.environment()) as run:
        at.wait_for(run, moment.at)
        ended(run, message)


def test_one_of_two_actors_killed_in_the_update(overrides: list[str], tmp_path: Path) -> None:
    """The other one waits for its gradients."""
    at = Moments(tmp_path / "marks", Moment("update", "kill", count=3))
    two = ["trainer.n_gpus_per_node=2", "ray_kwargs.ray_init.num_gpus=2"]
    with Run(tmp_path / "run", [*overrides, *LONG, *two], at.environment()) as run:
        at.wait_for(run, "update")
        ended(run, "RunActorDiedError: training worker")


def test_ctrl_c_twice(overrides: list[str], tmp_path: Path) -> None:
    with Run(tmp_path / "run", [*overrides, *LONG]) as run:
        run.wait_for_step(1)
        run.interrupt()
        time.sleep(0.5)
        run.interrupt()
        ended(run, "KeyboardInterrupt")


def test_sigterm(overrides: list[str], tmp_path: Path) -> None:
    """What Slurm sends before it kills."""
    with Run(tmp_path / "run", [*overrides, *LONG]) as run:
        run.wait_for_step(1)
        run.process.terminate()
        ended(run, "")


def test_ray_and_the_rollout_server_killed_together(overrides: list[str], tmp_path: Path) -> None:
    """As may happen when the command is killed: nobody of Ray is left to end vLLM's engine."""
    with Run(tmp_path / "run", [*overrides, *LONG]) as run:
        run.wait_for_step(1)
        (raylet,) = run.named("/raylet/raylet ")
        (server,) = run.named("ray::CareVLLMServer")
        for process in (raylet, server, run.process):
            process.kill()
        assert run.finish() != 0
        assert run.leftovers() == []


def test_the_verifiers_own_worker_is_replaced(
    embedded: EmbeddedPaths, overrides: list[str], tmp_path: Path
) -> None:
    """Gold answers that only math-verify can compare; its process is killed in the second step."""
    rows = pq.read_table(embedded.train).slice(0, 16).to_pylist()
    for row in rows:
        value = int(row["reward_model"]["ground_truth"])
        row["reward_model"]["ground_truth"] = rf"\sqrt{{{value**2}}}"
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    moment = Moment("reward", "kill", 2, 5, whom="care_verl.verifier.symbolic")
    at = Moments(tmp_path / "marks", moment)
    settings = [*overrides, *SMALL, f"data.train_files={path}"]
    with Run(tmp_path / "run", settings, at.environment()) as run:
        assert run.finish() == 0, run.tail()
        assert at.reached("reward")
        assert run.leftovers() == []
    for _, data in run.metrics():
        assert data["care/groups/failed"] == 0
        assert data["care/verifier/undecided"] <= 0.05


def test_failed_groups_are_refilled_where_verl_is_told_to(
    embedded: EmbeddedPaths, overrides: list[str], tmp_path: Path
) -> None:
    broken = dict.fromkeys((1, 4, 8), CUT_PNG)
    rows = with_images(embedded.train, tmp_path / "rows.parquet", broken, count=16)
    settings = [
        *[*overrides, *SMALL, f"data.train_files={rows}", "data.shuffle=False"],
        "trainer.v1.sampler.sync_refill_failed_groups=True",
        "trainer.total_training_steps=1",
    ]
    with Run(tmp_path / "run", settings) as run:
        assert run.finish() == 0, run.tail()
        assert run.leftovers() == []
    ((_, data),) = run.metrics()
    assert (data["care/groups/failed"], groups(data)) == (3, 8)


@pytest.mark.parametrize(
    ("scored", "told"),
    [
        (
            "{'score': float('nan'), 'acc': 0.0}",
            "MisfitError: no row of the first 8 prompts could be used; ValueError: reward function",
        ),
        ("{'score': 1.0}", "MisfitError: reward function"),
    ],
)
def test_a_reward_function_that_never_works_ends_the_run(
    overrides: list[str], tmp_path: Path, scored: str, told: str
) -> None:
    """Whatever is refilled: without `acc` by the first row, with NaN by the eighth prompt."""
    reward = tmp_path / "reward.py"
    reward.write_text(f"def score(**row):\n    return {scored}\n")
    settings = [
        *[*overrides, *SMALL, f"reward.custom_reward_function.path={reward}"],
        "reward.custom_reward_function.name=score",
        *["reward.reward_manager.source=register", "reward.reward_manager.name=naive"],
        "trainer.v1.sampler.sync_refill_failed_groups=True",
    ]
    with Run(tmp_path / "run", settings) as run:
        assert run.finish() != 0
        assert run.leftovers() == []
    assert "MisfitError: session" in run.log
    assert told in run.log
    assert f"reward function score of {reward}, session" in run.log
    assert "ends the run: mend the cause and start it again" in run.log


@pytest.mark.parametrize("refill", [False, True])
def test_data_without_a_whole_image_end_the_run(
    embedded: EmbeddedPaths, overrides: list[str], tmp_path: Path, refill: bool
) -> None:
    """More than 16 failed groups end a step of 8. How many more have failed when the trainer looks
    is a matter of time: drawn anew, they fail before anything is decoded.
    """
    broken = dict.fromkeys(range(32), CUT_PNG)
    rows = with_images(embedded.train, tmp_path / "rows.parquet", broken, count=32)
    settings = [
        *[*overrides, *SMALL, f"data.train_files={rows}"],
        f"trainer.v1.sampler.sync_refill_failed_groups={refill}",
    ]
    with Run(tmp_path / "run", settings) as run:
        assert run.finish() != 0
        assert run.leftovers() == []
    told = re.search(r"GroupsFailedError: (\d+) groups failed in this step", run.log)
    assert told is not None
    failed = int(told[1])
    assert failed > 16 if refill else failed == 8
    assert "cannot be decoded" in run.log


def test_rollouts_that_cannot_be_dumped(overrides: list[str], tmp_path: Path) -> None:
    """The disk is full when the first step's file is written; verl notices in the second."""
    dumps = tmp_path / "rollouts"
    dumps.mkdir()
    (dumps / "1.jsonl").symlink_to("/dev/full")
    settings = [*overrides, *LONG, f"trainer.rollout_data_dir={dumps}"]
    with Run(tmp_path / "run", settings) as run:
        run.wait_for_step(1)
        ended(run, "UnwritableError: a file of the run could not be written: [Errno 28] No space")
    assert f"trainer.rollout_data_dir = {dumps}" in run.log


def test_metrics_that_cannot_be_written(overrides: list[str], tmp_path: Path) -> None:
    with Run(tmp_path / "run", [*overrides, *LONG], {"VERL_FILE_LOGGER_PATH": "/dev/full"}) as run:
        assert run.finish() != 0
        assert run.leftovers() == []
    assert "UnwritableError: a file of the run could not be written: [Errno 28]" in run.log
    assert "VERL_FILE_LOGGER_PATH = /dev/full" in run.log


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds one checkpoint of 29 MB and not another."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=44m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount).returncode:
        pytest.skip("a file system of a fixed size can be mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_while_a_checkpoint_is_written(
    overrides: list[str], tmp_path: Path, small_disk: Path
) -> None:
    settings = [*overrides, *LONG, "trainer.save_freq=1", f"trainer.default_local_dir={small_disk}"]
    with Run(tmp_path / "run", settings) as run:
        run.wait_for_step(1)
        ended(run, "CheckpointError")
    assert str(small_disk / "global_step_2") in run.log
    assert str(small_disk / "global_step_1") in run.log
    assert sorted(path.name for path in small_disk.glob("global_step_*")) == ["global_step_1"]
