"""Nodes of a cluster: planted differences by hand, and two real nodes that are asked."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from care_verl.tools.doctor import examination, seams
from care_verl.tools.doctor.cluster import (
    Questions,
    address_of,
    ask_nodes,
    check_nodes,
    runtime_env_of,
)
from care_verl.tools.doctor.disk import Checkpoints
from care_verl.tools.doctor.finding import Check
from care_verl.tools.doctor.inspection import as_line

from .told import all_well, the_error

GIB = 2**30
ACTIVE = as_line([Check("plugin").ok("active")])


def answer(host: str, **changes: Any) -> dict[str, Any]:
    """What a sound node says."""
    versions = {"python": "3.11.7", "verl": "0.9.1", "care-verl": "0.1.0"}
    sound = {
        "host": host,
        "versions": versions,
        "plugin": (0, ACTIVE),
        "missing": [],
        "writable": True,
        "free": 100 * GIB,
        "shared_memory": 16 * GIB,
        "resources": {"GPU": 8.0, "CPU": 64.0},
    }
    return {**sound, **changes}


def test_nodes_that_are_alike() -> None:
    assert all_well(check_nodes([answer("a"), answer("b")], 2, None))


def test_too_few_nodes() -> None:
    finding = the_error(check_nodes([answer("a")], 2, None), "trainer.nnodes = 2")
    assert "trainer.nnodes=1" in finding.change


def test_a_node_with_another_release() -> None:
    other = answer("c", versions={"python": "3.11.7", "verl": "0.9.0", "care-verl": "0.1.0"})
    findings = check_nodes([answer("a"), answer("b"), other], 3, None)
    assert (
        "on every node" in the_error(findings, "c has verl 0.9.0", "other nodes have 0.9.1").change
    )


def test_a_node_without_the_package() -> None:
    """It answers all the same: what is sent there imports nothing from this package."""
    bare = answer(
        "b",
        versions={"python": "3.11.7", "verl": "0.9.1", "care-verl": None},
        plugin=(1, "/usr/bin/python: No module named care_verl"),
    )
    findings = check_nodes([answer("a"), answer("c"), bare], 3, None)
    the_error(findings, "b has care-verl not at all")
    the_error(findings, "b: ", "No module named care_verl")


def test_a_node_without_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(seams.POLICY, "none")
    off = as_line([seams._inactive()])
    findings = check_nodes([answer("a"), answer("b", plugin=(0, off))], 2, None)
    assert "on b: " in the_error(findings, "b: verl in this Python does not load").change


def test_a_node_that_does_not_see_the_data() -> None:
    findings = check_nodes([answer("a"), answer("b", missing=["data.train_files (/x)"])], 2, None)
    assert "shared storage" in the_error(findings, "b does not see data.train_files").change


def test_a_node_without_room() -> None:
    checkpoints = Checkpoints(Path("/shared"), 40.0 * GIB, 2, 10)
    tight = [answer("a"), answer("b", free=50 * GIB, shared_memory=64 * 2**20, writable=False)]
    findings = check_nodes(tight, 2, checkpoints)
    the_error(findings, "b has 50.0 GiB free", "80.0 GiB")
    the_error(findings, "b: /dev/shm has 64 MiB")
    the_error(findings, "b may not write")


def test_what_nodes_are_asked(
    completed: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = completed()
    questions = Questions.of(config)
    assert set(questions.paths.values()) == {
        str(config.data.train_files),
        str(config.data.val_files),
        str(config.actor_rollout_ref.model.path),
    }
    hub = completed("actor_rollout_ref.model.path=Qwen/Qwen2.5-VL-7B-Instruct")
    assert len(Questions.of(hub).paths) == 2
    assert address_of(config, None) is None
    named = completed("+ray_kwargs.ray_init.address=10.0.0.1:6379")
    assert address_of(named, None) == "10.0.0.1:6379"
    assert address_of(named, "auto") == "auto"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert address_of(config, None) == "10.0.0.2:6379"
    assert runtime_env_of(config)["env_vars"]


def test_an_address_where_nobody_listens(completed: Callable[..., DictConfig]) -> None:
    """Ray would try for many minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    findings = examination._cluster(completed(), f"127.0.0.1:{port}", None)
    assert "start Ray there" in the_error(findings, f"127.0.0.1:{port}", "refused").change


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[str]:
    """Address of two raylets on this machine, the second with the plugin switched off."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1})
    cluster.add_node(
        num_cpus=2,
        num_gpus=1,
        node_name="second",
        env_vars={**os.environ, "VERL_USE_EXTERNAL_PLUGINS": "none"},
    )
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
def test_two_real_nodes(two_nodes: str, completed: Callable[..., DictConfig]) -> None:
    config = completed("data.val_files=/nowhere/test.parquet")
    answers = ask_nodes(two_nodes, Questions.of(config), runtime_env_of(config))
    assert len(answers) == 2
    findings = check_nodes(answers, 2, None)
    finding = the_error(findings, "second: verl in this Python does not load the plugin")
    assert "VERL_USE_EXTERNAL_PLUGINS" in finding.change
    unseen = [each for each in findings if "does not see data.val_files" in each.found]
    assert len(unseen) == 2
    assert len(findings) == 3
