"""verl's platform `cpu`: workers are scheduled as if they had GPUs and compute on the CPU.

Ray knows only logical resources, so `ray_kwargs.ray_init.num_gpus=N` gives the machine N GPUs that
exist in its books alone; verl's resource pools, placement and rank arithmetic then work unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

from care_verl.platform import cpu_choice
from care_verl.platform.device import CpuDeviceModule
from care_verl.platform.loopback import gloo_variables

_DEVICE_MODULE = CpuDeviceModule()
_ROLLOUT_DEFAULTS = {
    # GiB for the KV cache; vLLM would reserve a fraction of the machine's memory.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Lets `distributed_executor_backend=uni` be: vLLM's CPU platform otherwise turns it back into
    # `mp`, one more process that imports vLLM, and messages between the two at each decoding step.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # Attention over a long context is otherwise cut into parts for the threads that a step leaves
    # idle: a row's last bits would depend on the other rows of its steps (see `linear`).
    "VLLM_CPU_ATTN_SPLIT_KV": "0",
}


@PlatformRegistry.register(platform=cpu_choice.NAME)
class PlatformCPU(PlatformBase):
    """Platform backend for a machine without an accelerator."""

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "cpu"

    @property
    def device_module(self) -> ModuleType:
        return _DEVICE_MODULE

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        # Auto-detection must never prefer the CPU to an accelerator another plugin brings: the
        # choice is made once, in `cpu_choice`.
        return False

    def current_device(self) -> str:  # type: ignore[override]
        # verl passes this to Tensor.to(), where an index would mean an accelerator.
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        """Do nothing: there is one device."""

    def synchronize(self, device_index: int | None = None) -> None:
        """Do nothing: CPU work is complete when the call returns."""

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """Do nothing: the settings concern caching allocators of accelerators."""

    def empty_cache(self) -> None:
        """Do nothing: there is no device cache."""

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        # Ray sets this variable for its logical GPUs; torch and vLLM ignore it here.
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        """Do nothing: there is no device profiler."""

    def profiler_stop(self) -> None:
        """Do nothing: there is no device profiler."""

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        # Weights then reach vLLM through shared memory.
        return False

    def rollout_env_vars(self) -> dict[str, str]:
        """Return the defaults for vLLM's CPU backend; what the user has set prevails."""
        defaults = {**_ROLLOUT_DEFAULTS, **gloo_variables()}
        return {name: os.environ.get(name, value) for name, value in defaults.items()}

    def cudart(self) -> None:
        return None
