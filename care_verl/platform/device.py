"""A stand-in for `torch.cuda` on a machine without an accelerator.

verl asks its device module for memory statistics, caches and random state. `torch.cpu` answers
for streams and synchronisation only, so what it lacks is added here. There is no device allocator
to account for: every statistic is 0.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

_NO_STATISTIC = (
    "memory_allocated",
    "memory_reserved",
    "max_memory_allocated",
    "max_memory_reserved",
)
_NO_EFFECT = (
    "empty_cache",
    "ipc_collect",
    "reset_peak_memory_stats",
    "reset_accumulated_memory_stats",
    "set_per_process_memory_fraction",
)


class CpuDeviceModule(ModuleType):
    """`torch.cpu`, plus the part of the `torch.cuda` interface that verl relies on."""

    def __init__(self) -> None:
        super().__init__("care_verl.platform.device.cpu", "torch.cpu with what verl asks of CUDA")
        for name in _NO_STATISTIC:
            setattr(self, name, _zero)
        for name in _NO_EFFECT:
            setattr(self, name, _nothing)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def is_available(self) -> bool:
        """Return False: verl asks before it accounts for or trims accelerator memory."""
        return False

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """Return (free, total) bytes of device memory: there is none."""
        return 0, 0

    def get_device_name(self, device: Any = None) -> str:
        """Return the name verl's table of peak FLOPS is searched with."""
        return "CPU"

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        """Return the state of torch's default generator."""
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        """Restore the state of torch's default generator."""
        torch.set_rng_state(state)

    def manual_seed(self, seed: int) -> None:
        """Seed torch's default generator."""
        torch.manual_seed(seed)

    manual_seed_all = manual_seed


def _zero(*_args: Any, **_kwargs: Any) -> int:
    return 0


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    return None
