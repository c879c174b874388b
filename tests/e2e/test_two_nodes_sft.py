"""The cold start by `sft.sbatch` on two nodes; only Slurm is a stand-in.

`torchrun`, verl's SFT trainer, FSDP2 and gloo are real. The head's address is not the one of its
host name, as where a cluster has two networks. Not shown: real networks, GPUs, NCCL.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from care_verl.data.embedded.coldstart import EmbeddedPaths

from .jobs import Job, left_behind
from .nodes import Node

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

SECOND_NETWORK = "10.98.0"


@pytest.fixture(scope="module")
def settings(embedded: EmbeddedPaths) -> list[str]:
    """Sixteen rows a step and rank."""
    return [
        "+recipe=[sft_vision_r1_cold,sft_embedded_hardware]",
        f"data.train_files={embedded.sft}",
        f"model.path={embedded.model}",
        "data.micro_batch_size_per_gpu=16",
    ]


@pytest.fixture(scope="module")
def two_networks(nodes: list[Node], slurm: dict[str, str]) -> dict[str, str]:
    for number, node in enumerate(nodes, start=1):
        address = f"{SECOND_NETWORK}.{number}/24"
        node.run("ip", "address", "add", address, "dev", "care0")
    return {**slurm, "CARE_HEAD_ADDRESS": f"{SECOND_NETWORK}.1"}


def test_both_nodes_train_one_model(
    nodes: list[Node], two_networks: dict[str, str], settings: list[str], tmp_path: Path
) -> None:
    four = ["trainer.total_training_steps=4", "trainer.save_freq=4"]
    environment = {**two_networks, "STUB_FOLDER": str(tmp_path)}
    with Job(tmp_path, [*settings, *four], environment, "sft.sbatch") as job:
        assert job.finish() == 0, job.tail()
        assert left_behind(job, nodes) == []
    assert [step for step, _ in job.metrics()] == [1, 2, 3, 4]
    checkpoint = job.run_folder / "checkpoints/global_step_4"
    for number in range(2):
        log = (job.logs / f"train-node{number}.log").read_text()
        assert f"global_step_4/data_{number}.pt" in log
        assert (checkpoint / f"model_world_size_2_rank_{number}.pt").exists()
    assert (checkpoint / "huggingface/model.safetensors").exists()


def test_a_requeued_cold_start_goes_on(
    nodes: list[Node], two_networks: dict[str, str], settings: list[str], tmp_path: Path
) -> None:
    """Slurm's signal comes when the first of eight checkpoints is whole."""
    forty = ["trainer.total_training_steps=40", "trainer.save_freq=5"]
    environment = {**two_networks, "STUB_FOLDER": str(tmp_path)}
    with Job(tmp_path, [*settings, *forty], environment, "sft.sbatch") as job:
        job.wait_for_step(6)
        os.kill(job.batch_script, signal.SIGUSR1)
        assert job.finish() == 0, job.tail()
        # Python's own folder of a data loader that its interrupted rank ended by force.
        assert [path for path in left_behind(job, nodes) if "/pymp-" not in path] == []
    first, second = sorted((job.run_folder / "logs").iterdir())
    assert (first.name, second.name) == ("4711-0", "4711-1")
    done = [step for step, _ in job.metrics()]
    again = [json.loads(line)["step"] for line in (second / "metrics.jsonl").open()]
    resumed = again[0] - 1
    assert again == list(range(resumed + 1, 41))
    assert resumed % 5 == 0
    assert 5 <= resumed <= done[-1] < 40
