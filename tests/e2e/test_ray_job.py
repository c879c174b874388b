"""`ray_job.sh` on a Ray cluster of two nodes that stands already and asks for a token.

Ray, its job API and training are real; the nodes are namespaces of one machine (`nodes`). Not
shown: a client on a machine that is no node, real networks, GPUs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from .jobs import DISK, LOGICAL_CPUS, ROOT, SCRIPTS
from .nodes import Node
from .running import Run

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

SCRIPT = ROOT / "examples" / "ray_job.sh"
HEAD = "10.99.0.1"
JOB_S = 900
"""What a job may take, with its start."""


@dataclass
class RayNode(Run):
    """`ray start --block` on a node; `overrides` are its options."""

    name: str = ""
    enter: tuple[str, ...] = ()

    def command(self, temporary: str) -> list[str]:
        start = ["ray", "start", "--block", f"--node-name={self.name}", f"--temp-dir={DISK}/ray"]
        resources = [f"--num-cpus={LOGICAL_CPUS}", "--num-gpus=1"]
        return [*self.enter, *start, *resources, *self.overrides]

    @property
    def metrics_path(self) -> Path:
        """Ray may place the trainer on any node."""
        return Path(self.environment["VERL_FILE_LOGGER_PATH"])


@dataclass(frozen=True)
class Client:
    """Where jobs are submitted from, and with what."""

    node: Node
    environment: dict[str, str]
    overrides: list[str]

    def run(self, *command: str, **environment: str) -> tuple[int, str]:
        """Status and output of a command that ends by itself; an empty variable is unset."""
        given = {**os.environ, **self.environment, **environment}
        done = subprocess.run(
            [*self.node.enter, *command],
            env={name: value for name, value in given.items() if value},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=JOB_S,
        )
        return done.returncode, done.stdout

    def submit(self, *overrides: str, **environment: str) -> tuple[int, str]:
        return self.run(str(SCRIPT), *self.overrides, *overrides, **environment)

    def running_job(self) -> str:
        _, jobs = self.run("ray", "job", "list")
        (running,) = [job for job in jobs.split("JobDetails(") if "RUNNING" in job]
        found = re.search(r"submission_id='(\w+)'", running)
        assert found, jobs
        return found[1]

    @property
    def run_folder(self) -> Path:
        return Path(self.environment["RUN"])

    def saved_step(self) -> int:
        return int((self.run_folder / "latest_checkpointed_iteration.txt").read_text())


def with_token(home: Path) -> dict[str, str]:
    """The environment of someone who has a new token in `~/.ray/auth_token`."""
    home.mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"HOME": str(home), "PATH": path, "RAY_AUTH_MODE": "token"}
    subprocess.run(
        ["ray", "get-auth-token", "--generate"],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    assert (home / ".ray/auth_token").exists()
    return environment


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return with_token(tmp_path_factory.mktemp("cluster") / "home")


@pytest.fixture(scope="module")
def cluster(
    nodes: list[Node], known: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[RayNode]]:
    """Ray on both nodes, with the dashboard at the head's address."""
    folder = tmp_path_factory.mktemp("ray")
    environment = {
        **known,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "VERL_FILE_LOGGER_PATH": str(folder / "metrics.jsonl"),
        # Kept on purpose, and else in the temporary folder.
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled"),
    }
    options = (
        ["--head", f"--node-ip-address={HEAD}", "--port=6379", f"--dashboard-host={HEAD}"],
        [f"--address={HEAD}:6379"],
    )
    started: list[RayNode] = []
    with ExitStack() as stack:
        for node, those in zip(nodes, options, strict=True):
            run = RayNode(folder / node.name, those, environment, node.name, tuple(node.enter))
            stack.enter_context(run)
            started.append(run)
            wait_for(nodes[0], known, [each.name for each in started])
        yield started
        for run in reversed(started):
            run.process.terminate()
        for run in started:
            run.finish()
            # Python's own folder of a process that was killed when its job was stopped.
            assert [path for path in run.leftovers() if "/pymp-" not in path] == []


def wait_for(head: Node, environment: dict[str, str], names: list[str]) -> None:
    gate = [sys.executable, str(SCRIPTS / "gate.py"), f"{HEAD}:6379", "--gpus=1", "--timeout=120"]
    done = subprocess.run(
        [*head.enter, *gate, *names],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def client(
    cluster: list[RayNode],
    nodes: list[Node],
    known: dict[str, str],
    settings: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Client:
    """On the second node."""
    files = dict(setting.split("=", 1) for setting in settings)
    environment = {
        **known,
        "RAY_API_SERVER_ADDRESS": "http://node0:8265",
        "TRAIN": files["data.train_files"],
        "TEST": files["data.val_files"],
        "RUN": str(tmp_path_factory.mktemp("job") / "run"),
    }
    return Client(nodes[1], environment, [*settings, "trainer.save_freq=1"])


def test_without_a_token_nothing_is_started(client: Client) -> None:
    status, said = client.submit(RAY_AUTH_MODE="")
    assert status != 0
    assert "Unauthorized: Missing authentication token" in said
    assert not client.run_folder.exists()


def test_with_another_token_nothing_is_started(client: Client, tmp_path: Path) -> None:
    status, said = client.submit(**with_token(tmp_path / "home"))
    assert status != 0
    assert "Forbidden: Invalid authentication token" in said
    assert not client.run_folder.exists()


def test_a_job_that_fails_is_reported(client: Client) -> None:
    status, said = client.submit("trainer.no_such_key=1")
    assert status == 1
    assert re.search("Job 'raysubmit_.*' failed", said)


def test_a_job_is_stopped_and_goes_on(client: Client, cluster: list[RayNode]) -> None:
    head = cluster[0]
    with ThreadPoolExecutor() as thread:
        submitted = thread.submit(client.submit, "trainer.total_training_steps=1000")
        while not any(step >= 2 for step, _ in head.metrics()):
            assert not submitted.done(), submitted.result()[1][-5000:]
            time.sleep(0.5)
        running = client.running_job()
        assert client.run("ray", "job", "stop", running)[0] == 0
        status, said = submitted.result()
    assert status == 0
    assert f"Job '{running}' was stopped" in said
    assert training(cluster, within=30.0) == []

    saved = client.saved_step()
    assert saved >= 1
    status, said = client.submit(f"trainer.total_training_steps={saved + 1}")
    assert status == 0, said[-5000:]
    assert re.search("Job 'raysubmit_.*' succeeded", said)
    # The file is begun anew by each job.
    assert [step for step, _ in head.metrics()] == [saved + 1]
    checkpoint = client.run_folder / f"global_step_{saved + 1}"
    assert (checkpoint / "complete.json").exists()
    shards = {path.name for path in (checkpoint / "actor").glob("model_*.pt")}
    assert shards == {f"model_world_size_2_rank_{rank}.pt" for rank in range(2)}
    assert training(cluster, within=30.0) == []


def training(cluster: list[RayNode], within: float) -> list[str]:
    """What is left of a job, once it has ended and `within` seconds to settle are over."""
    names = ("main_ppo", "WorkerDict", "CareVLLMServer", "EngineCore")
    deadline = time.monotonic() + within
    while True:
        found = [
            " ".join(process.cmdline())
            for run in cluster
            for name in names
            for process in run.named(name)
        ]
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(0.5)
