"""vLLM's workers on a CPU, meeting where only this machine reaches them.

torch binds the store of their process group to all interfaces, although vLLM 0.24 asks for an
address on loopback (see `loopback`).
"""

from __future__ import annotations

import functools
from typing import Any

from care_verl.platform.contract import require_source
from care_verl.platform.loopback import vllm_group_on_loopback

WORKER = "vllm.v1.worker.cpu_worker"


def meet_on_loopback(cpu_worker: Any) -> None:
    """Have the worker's process group, which `init_device` joins, listen on loopback only.

    Raises ContractError where the worker joins it in another way.
    """
    init = cpu_worker.CPUWorker.init_device
    require_source(init, "init_worker_distributed_environment(", "self.distributed_init_method,")

    @functools.wraps(init)
    def init_device(worker: Any) -> None:
        world_size = worker.parallel_config.world_size
        with vllm_group_on_loopback(worker.distributed_init_method, worker.rank, world_size):
            init(worker)

    cpu_worker.CPUWorker.init_device = init_device
