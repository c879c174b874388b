"""Device to host without making the decode step wait."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class HostCopy:
    """A tensor on its way to the host. Only `wait()` may look at its values."""

    _tensor: Tensor
    _arrived: torch.cuda.Event | None

    @classmethod
    def start(cls, source: Tensor) -> HostCopy:
        """Begin the copy and return at once.

        On CUDA the copy goes to pinned memory on the current stream, so that work queued behind
        it may overwrite `source`'s memory. That branch was written against torch's documentation
        and was not run: no GPU was at hand.
        """
        if source.device.type == "cpu":
            return cls(source, None)
        target = torch.empty(source.shape, dtype=source.dtype, pin_memory=True)
        target.copy_(source, non_blocking=True)
        arrived = torch.cuda.Event(blocking=True)
        arrived.record()
        return cls(target, arrived)

    def wait(self) -> Tensor:
        """The tensor on the host, once it has arrived. Call it on a thread that may block."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._tensor


def to_device(values: list[int], device: torch.device) -> Tensor:
    """An int64 tensor on `device`, its copy queued and not waited for (CUDA branch not run)."""
    if device.type == "cpu":
        return torch.tensor(values, dtype=torch.int64)
    pinned = torch.tensor(values, dtype=torch.int64, pin_memory=True)
    return pinned.to(device, non_blocking=True)
