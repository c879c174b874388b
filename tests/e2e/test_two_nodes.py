"""A real Ray cluster of two nodes, by the scripts of `examples/slurm`; only Slurm is a stand-in.

Ray, verl, FSDP2, vLLM and TransferQueue are real. The nodes are namespaces of one machine (`nodes`)
with addresses of their own, so what is bound to loopback, or passed through shared memory, does not
reach from one to the other. Not shown: real networks, disks that are not shared, GPUs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from .jobs import Job, left_behind
from .nodes import Node
from .running import TIMEOUT_S

pytestmark = pytest.mark.e2e


@dataclass
class Trained:
    """The job, what it left, and where its processes were: (node, Ray's id of it), sorted."""

    job: Job
    ranks: list[tuple[str, str]]
    servers: list[tuple[str, str]]
    engines: list[tuple[str, str]]
    left: list[str]


@pytest.fixture(scope="module")
def trained(
    nodes: list[Node],
    slurm: dict[str, str],
    settings: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """One step on both nodes."""
    folder = tmp_path_factory.mktemp("train")
    slurm = {**slurm, "STUB_FOLDER": str(folder)}
    with Job(folder, [*settings, "trainer.total_training_steps=1"], slurm) as job:
        ranks, servers, engines = (
            on_both(job, title, nodes) for title in ("WorkerDict", "CareVLLMServer", "EngineCore")
        )
        assert job.finish() == 0, job.tail()
        return Trained(job, ranks, servers, engines, left_behind(job, nodes))


def on_both(job: Job, title: str, nodes: list[Node]) -> list[tuple[str, str]]:
    """Where the processes with a title are, as soon as there are two of them."""
    end = time.monotonic() + TIMEOUT_S
    while len(found := places(job, title, nodes)) < 2:
        assert job.process.poll() is None, f"the job ended early:\n{job.tail()}"
        assert time.monotonic() < end, f"{title}: {found}\n{job.tail()}"
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def checkpoint(
    slurm: dict[str, str], settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """That of two ranks behind the second step."""
    folder = tmp_path_factory.mktemp("saved")
    slurm = {**slurm, "STUB_FOLDER": str(folder)}
    with Job(folder, [*settings, "trainer.save_freq=2"], slurm) as job:
        assert job.finish() == 0, job.tail()
    made = job.run_folder / "checkpoints/global_step_2"
    assert (made / "complete.json").exists()
    return made


def places(job: Job, title: str, nodes: list[Node]) -> list[tuple[str, str]]:
    found = []
    for process in job.named(title):
        # It may end while it is looked at; `named` does not list it any more then.
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
            (node,) = [node.name for node in nodes if node.holds(process.pid)]
            found.append((node, ray_node_id(process)))
    return sorted(found)


def ray_node_id(process: psutil.Process) -> str:
    """From the command line of the raylet above it."""
    words = [word for parent in process.parents() for word in parent.cmdline()]
    (node_id,) = [word.partition("=")[2] for word in words if word.startswith("--node_id=")]
    return node_id


def test_one_rank_and_one_server_on_each_node(trained: Trained) -> None:
    assert [node for node, _ in trained.ranks] == ["node0", "node1"]
    assert len({node_id for _, node_id in trained.ranks}) == 2
    assert trained.servers == trained.engines == trained.ranks


def test_the_step_is_done(trained: Trained) -> None:
    ((step, data),) = trained.job.metrics()
    assert step == 1
    assert data["care/rows/updated"] > 0


def test_nothing_is_left_on_any_node(trained: Trained) -> None:
    assert trained.left == []


def test_logs_are_kept_by_node(trained: Trained) -> None:
    logs = trained.job.logs
    assert {path.name for path in (logs / "ray").iterdir()} == {"node0", "node1"}
    assert all((logs / "ray" / node / "raylet.out").exists() for node in ("node0", "node1"))
    assert "all 2 nodes are there, with 1 GPUs each" in (logs / "gate.log").read_text()


@pytest.mark.proof
@pytest.mark.parametrize("weights", ["whole model", "shards"])
def test_a_checkpoint_is_evaluated(
    checkpoint: Path,
    nodes: list[Node],
    slurm: dict[str, str],
    settings: list[str],
    tmp_path: Path,
    weights: str,
) -> None:
    """The whole model on one node, the shards of two ranks on two."""
    if weights == "shards":
        for file in (checkpoint / "actor/huggingface").glob("*.safetensors"):
            file.rename(tmp_path / file.name)
    here = {"STUB_FOLDER": str(tmp_path / "job"), "CARE_CHECKPOINT": str(checkpoint)}
    count = 1 if weights == "whole model" else 2
    with Job(tmp_path / "job", settings, {**slurm, **here}, "evaluate.sbatch", count) as job:
        assert job.finish() == 0, job.tail()
        assert left_behind(job, nodes) == []
    step = 0 if weights == "whole model" else 2
    ((logged, metrics),) = job.metrics()
    assert logged == step
    assert any(name.startswith("val-core/") for name in metrics)
    rows = (job.run_folder / f"validation/{step}.jsonl").read_text().splitlines()
    # 16 held-out charts, 8 answers to each.
    assert len(rows) == 16 * 8
    assert all("score" in json.loads(row) for row in rows)
    assert not list((job.run_folder / "checkpoints").glob("global_step_*"))


@pytest.mark.proof
def test_a_requeued_job_goes_on(
    nodes: list[Node], slurm: dict[str, str], settings: list[str], tmp_path: Path
) -> None:
    """Slurm's signal comes behind the second of four steps."""
    four = ["trainer.total_training_steps=4", "trainer.save_freq=1", "trainer.resume_mode=auto"]
    with Job(tmp_path, [*settings, *four], {**slurm, "STUB_FOLDER": str(tmp_path)}) as job:
        job.wait_for_step(2)
        os.kill(job.batch_script, signal.SIGUSR1)
        assert job.finish() == 0, job.tail()
        assert left_behind(job, nodes) == []
    first, second = sorted((job.run_folder / "logs").iterdir())
    assert (first.name, second.name) == ("4711-0", "4711-1")
    assert "requeueing; the run goes on from step" in job.log
    done = [step for step, _ in job.metrics()]
    again = [json.loads(line)["step"] for line in (second / "metrics.jsonl").open()]
    assert again[-1] == 4
    resumed = re.search(r"Resuming from \S+/global_step_(\d),", (second / "train.log").read_text())
    assert resumed is not None
    assert int(resumed[1]) >= 2
    assert again[0] == int(resumed[1]) + 1
    assert done[:2] == [1, 2]
