"""One gloo process group where verl would ask for two, on loopback where its master is.

verl joins `cpu:gloo` and `<device>:<backend>` into one string, 0.9.1 in both of its initialisers,
its main branch of August 2026 in one. On this platform both halves name the CPU, which torch
refuses as a duplicate device type; verl has no option for it.
"""

from __future__ import annotations

import os
from typing import Any

from care_verl.platform.contract import require_parameters, require_source
from care_verl.platform.loopback import process_group_on_loopback

MODULE = "verl.utils.distributed"
BACKEND = "cpu:gloo"
_DOUBLED = "cpu:gloo,{get_device_name()}:{get_nccl_backend()}"


def use_gloo_once(distributed: Any) -> None:
    """Give both of verl's initialisers of the default process group the backend `cpu:gloo`."""
    from_env = distributed.initialize_global_process_group
    from_ray = distributed.initialize_global_process_group_ray
    require_source(from_env, "get_nccl_backend()", "return local_rank, rank, world_size")
    require_parameters(from_env, "timeout_second")
    require_source(from_ray, _DOUBLED)
    require_parameters(from_ray, "timeout_second", "backend")

    def initialize_global_process_group_ray(
        timeout_second: int | None = None, backend: str = BACKEND
    ) -> None:
        with process_group_on_loopback():
            from_ray(timeout_second=timeout_second, backend=backend)

    def initialize_global_process_group(timeout_second: int = 36000) -> tuple[int, int, int]:
        initialize_global_process_group_ray(timeout_second)
        environ = os.environ
        return int(environ["LOCAL_RANK"]), int(environ["RANK"]), int(environ["WORLD_SIZE"])

    distributed.initialize_global_process_group = initialize_global_process_group
    distributed.initialize_global_process_group_ray = initialize_global_process_group_ray
