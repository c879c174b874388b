"""What `CareVLLMServer` overrides is inert without the harvest.

That verl has it, and calls it where that is expected, stands in `rollout.server`.
"""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest
from verl.workers.rollout.replica import RolloutReplicaRegistry
from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMHttpServer

from care_verl.rollout.replica import CareVLLMReplica, register_replica
from care_verl.rollout.server import CareVLLMServer
from care_verl.rollout.settings import HarvestSettings


def server(harvest: HarvestSettings | None) -> Any:
    unstarted = object.__new__(CareVLLMServer)
    unstarted._harvest = harvest
    return unstarted


def test_without_the_harvest_verls_worker_extension_is_used() -> None:
    assert server(None)._get_worker_extension_cls().startswith("verl.")
    ours = server(HarvestSettings())._get_worker_extension_cls()
    assert ours == "care_verl.rollout.extension.HarvestWorkerExtension"


@pytest.mark.parametrize(
    ("harvest", "asked", "policy"),
    [
        (HarvestSettings(), {}, "priority"),
        (HarvestSettings(), {"scheduling_policy": "fcfs"}, "fcfs"),
        (HarvestSettings(), {"scheduling-policy": "fcfs"}, None),
        (None, {}, None),
    ],
)
def test_reflections_go_first_unless_another_policy_is_named(
    monkeypatch: pytest.MonkeyPatch,
    harvest: HarvestSettings | None,
    asked: dict[str, str],
    policy: str | None,
) -> None:
    monkeypatch.setattr(vLLMHttpServer, "_preprocess_engine_kwargs", lambda self, kwargs: None)
    arguments = dict(asked)
    server(harvest)._preprocess_engine_kwargs(arguments)
    assert arguments.get("scheduling_policy") == policy


def test_asking_a_server_that_does_not_harvest_is_an_error() -> None:
    request = server(None).generate([1], {"care_harvest": True}, "r")
    with pytest.raises(ValueError, match=r"set rollout\.custom\.care_harvest"):
        asyncio.run(request)


def test_a_server_with_the_harvest_selects_the_v1_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vLLMHttpServer, "_post_init", lambda self, devices: None)
    starting = object.__new__(CareVLLMServer)
    starting.config = SimpleNamespace(name="vllm", custom={"care_harvest": {}})
    with monkeypatch.context() as patch:
        patch.setenv("VLLM_USE_V2_MODEL_RUNNER", "1")
        with pytest.raises(ValueError, match="VLLM_USE_V2_MODEL_RUNNER"):
            starting._post_init("")
    # Cleared through monkeypatch, which thereby restores what the server writes.
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "")
    starting._post_init("")
    assert os.environ["VLLM_USE_V2_MODEL_RUNNER"] == "0"


def test_the_replica_is_registered_under_verls_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RolloutReplicaRegistry, "_registry", {})
    register_replica()
    assert RolloutReplicaRegistry.get("vllm") is CareVLLMReplica
