"""`train.sbatch` from Ray's start to its end, when all goes well and when not.

Slurm, Ray and training are stand-ins (`stubs`); `gate.py` and the shell code are real. That Slurm
itself behaves like the stand-ins, no test here shows.
"""

from __future__ import annotations

import signal
import stat
import subprocess

import pytest

from .conftest import SCRIPTS, Slurm

OVERRIDES = ["+recipe=[a,hardware/nodes]", "x='two  words $HOME *'", "trainer.nnodes=1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Slurm:
    """A job of three nodes in which all went well."""
    slurm = Slurm(tmp_path_factory.mktemp("slurm"))
    status, said = slurm.run("train.sbatch", "--nodes=3", "--gpus-per-node=4", *OVERRIDES)
    assert status == 0, said
    return slurm


def test_the_order_of_events(trained: Slurm) -> None:
    happened = [event[:2] for event in trained.named("ray start", "train", "ray stop")]
    assert happened[0] == ["ray start", "node0"]
    assert sorted(happened[1:3]) == [["ray start", "node1"], ["ray start", "node2"]]
    assert happened[3] == ["train", "node0"]
    assert sorted(happened[4:]) == [["ray stop", f"node{i}"] for i in range(3)]
    asked = [event[-3:] for event in trained.named("gate")]
    # First whether the head answers, which the workers need, then for all.
    assert asked == [["--timeout", "30", "node0"], ["node0", "node1", "node2"]]


def test_what_ray_is_started_with(trained: Slurm) -> None:
    options = {event[1]: set(event[2:]) for event in trained.named("ray start")}
    # Job 4711: 20000 + 10 × 711.
    everywhere = {
        "--block",
        "--num-gpus=4",
        f"--temp-dir={trained.folder}/care-ray-4711",
        "--node-manager-port=27112",
    }
    assert everywhere <= options["node0"] & options["node1"] & options["node2"]
    assert {"--head", "--node-ip-address=10.0.0.1", "--port=27110"} <= options["node0"]
    assert "--address=10.0.0.1:27110" in options["node1"] & options["node2"]
    assert "--head" not in options["node1"] | options["node2"]


def test_no_two_services_share_a_port(trained: Slurm) -> None:
    for _, _, *options in trained.named("ray start"):
        ports = [option.split("=")[1] for option in options if "port=" in option]
        assert len(ports) == len(set(ports)) >= 8
        assert "0" not in ports


def test_what_training_is_started_with(trained: Slurm) -> None:
    """The user's overrides arrive whole and come last, so that they prevail."""
    ((_, _, program, *arguments),) = trained.named("train")
    run = trained.folder / "runs" / "care-4711"
    assert program == "python verl.trainer.main_ppo"
    assert arguments[2:] == [
        "trainer.nnodes=3",
        "trainer.n_gpus_per_node=4",
        "trainer.experiment_name='care-4711'",
        f"trainer.default_local_dir='{run}/checkpoints'",
        "trainer.resume_mode=auto",
        f"hydra.run.dir='{run}/logs/4711-0/hydra'",
        *OVERRIDES,
    ]


def test_a_run_leaves_logs_by_node_and_no_token(trained: Slurm) -> None:
    logs = trained.folder / "runs/care-4711/logs/4711-0"
    nodes = ["node0", "node1", "node2"]
    assert {path.name for path in logs.iterdir()} == {
        *["gate.log", "pids", "ray", "train.log"],
        *[f"ray-{node}.log" for node in nodes],
    }
    assert {path.name for path in (logs / "ray").iterdir()} == set(nodes)
    assert (logs / "ray/node0/raylet.out").exists()
    assert not (trained.folder / "care-ray-4711").exists()


def test_the_token_is_for_nobody_else(slurm: Slurm) -> None:
    job = slurm.submit("train.sbatch", STUB_TRAINING="wait")
    slurm.wait_for("waiting")
    token = slurm.folder / "runs/care-4711/logs/4711-0/ray-token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) == 64
    slurm.signal_batch_script(signal.SIGTERM)
    job.communicate(timeout=60)


@pytest.mark.parametrize("status", ["1", "134"])
def test_the_exit_status_of_failing_training_is_kept_and_ray_stops(
    slurm: Slurm, status: str
) -> None:
    returned, said = slurm.run("train.sbatch", STUB_TRAINING=status)
    assert returned == int(status)
    assert f"training ended with status {status}" in said
    assert {event[1] for event in slurm.named("ray stop")} == {"node0", "node1"}
    assert slurm.named("requeue") == []


def test_a_node_that_is_missing_ends_the_job_before_training(slurm: Slurm) -> None:
    status, said = slurm.run(
        "train.sbatch",
        "--nodes=3",
        STUB_LOST_NODES="node1",
        CARE_GATE_TIMEOUT_S="3",
        CARE_STOP_TIMEOUT_S="3",
    )
    assert status == 3
    assert "after 3 s 2 of 3 nodes are there. node1: not registered" in said
    assert slurm.named("train") == []
    assert {event[1] for event in slurm.named("ray stop")} == {"node0", "node2"}


def test_a_head_that_never_answers(slurm: Slurm) -> None:
    status, said = slurm.run(
        "train.sbatch",
        "--nodes=1",
        STUB_LOST_NODES="node0",
        CARE_GATE_TIMEOUT_S="3",
        CARE_STOP_TIMEOUT_S="3",
    )
    assert status == 3
    assert "after 3 s there is no Ray at 10.0.0.1:27110" in said
    assert slurm.named("train") == []


def test_a_node_on_which_ray_does_not_start_ends_the_job_at_once(slurm: Slurm) -> None:
    """Long before the gate's 30 seconds are over; no assertion on the time."""
    status, said = slurm.run("train.sbatch", STUB_BROKEN_NODES="node1")
    assert status == 3
    assert "Ray ended on node1" in said
    assert slurm.named("train") == []
    log = slurm.folder / "runs/care-4711/logs/4711-0/ray-node1.log"
    assert "the port is taken" in log.read_text()
    assert [event[1] for event in slurm.named("ray stop")] == ["node0"]


def test_ray_that_does_not_stop_is_killed(slurm: Slurm) -> None:
    status, said = slurm.run(
        "train.sbatch", "--nodes=2", STUB_STUBBORN_NODES="node1", CARE_STOP_TIMEOUT_S="2"
    )
    assert status == 0
    assert "is stopped on node0,node1" in said


def test_the_heads_address_is_the_one_under_its_name(slurm: Slurm) -> None:
    for name, answer in {"getent": "127.0.1.1 x\n10.7.7.7 x", "hostname": "192.168.1.1"}.items():
        command = slurm.folder / "bin" / name
        command.write_text(f"#!/bin/sh\nprintf '%s\\n' '{answer}'\n")
        command.chmod(0o755)
    status, said = slurm.run("train.sbatch", CARE_HEAD_ADDRESS="")
    assert status == 0, said
    assert "10.7.7.7:27110" in said


def test_a_name_that_is_not_known_leaves_the_first_address(slurm: Slurm) -> None:
    for name, body in {
        "getent": "exit 2",
        "hostname": "echo '::1 127.0.0.1 192.168.1.1 10.1.1.1'",
    }.items():
        command = slurm.folder / "bin" / name
        command.write_text(f"#!/bin/sh\n{body}\n")
        command.chmod(0o755)
    status, said = slurm.run("train.sbatch", CARE_HEAD_ADDRESS="")
    assert status == 0, said
    assert "192.168.1.1:27110" in said


def test_checkpoints_elsewhere_are_refused(slurm: Slurm) -> None:
    status, said = slurm.run("train.sbatch", "trainer.default_local_dir=/elsewhere")
    assert status == 2
    assert "set CARE_RUN_DIR" in said
    assert slurm.events == []


def test_without_slurm_nothing_is_started(slurm: Slurm) -> None:
    script = ["bash", str(SCRIPTS / "train.sbatch")]
    done = subprocess.run(
        script, cwd=slurm.folder, env=slurm.environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "start it with sbatch" in done.stderr
    assert slurm.events == []


def test_what_is_to_be_set_up_is_set_up_on_every_node(slurm: Slurm) -> None:
    setup = slurm.folder / "setup.sh"
    setup.write_text("export STUB_TRAINING=5\n")
    status, _ = slurm.run("train.sbatch", CARE_SETUP=str(setup))
    assert status == 5
