"""verl's vLLM replica with CARE's server in it."""

from __future__ import annotations

from typing import Any

import ray
from verl.workers.rollout.replica import RolloutReplicaRegistry
from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMReplica

from care_verl.platform.seam import Seam
from care_verl.rollout.server import CareVLLMServer

RELIES_ON = (
    Seam(
        "verl.workers.rollout.replica:RolloutReplicaRegistry.register",
        "replica.register",
        parameters="name, loader",
    ),
    Seam(
        "verl.workers.rollout.vllm_rollout.vllm_async_server:vLLMReplica.__init__",
        "a replica names its server class",
        "self.server_class = ",
    ),
)


class CareVLLMReplica(vLLMReplica):  # type: ignore[misc]
    """`vLLMReplica` whose servers are `CareVLLMServer`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.server_class = ray.remote(CareVLLMServer)


def register_replica() -> None:
    """Let verl build this replica for `rollout.name=vllm`, in this process."""
    RolloutReplicaRegistry.register("vllm", lambda: CareVLLMReplica)
