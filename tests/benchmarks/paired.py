"""Two ways of doing a thing, timed in turn, so that what else the machine does meets both alike."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch


def chosen_device(name: str | None) -> torch.device:
    """The one asked for; else CUDA where torch sees a card."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def machine(device: torch.device) -> str:
    """What a number has to be read with."""
    where = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    return f"{where}; torch {torch.__version__}, Python {platform.python_version()}"


def finish(device: torch.device) -> None:
    """Wait for what was queued on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of one call, its work on the device included."""
    finish(device)
    start = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - start


@dataclass(frozen=True)
class Pair:
    """Names of two sides, and what each took, one value a round; ratios are first to second."""

    names: tuple[str, str]
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def timed(
        cls,
        names: tuple[str, str],
        first: Callable[[], object],
        second: Callable[[], object],
        rounds: int,
        device: torch.device,
    ) -> Pair:
        """`rounds` calls of each in turn, behind one of each that warms up."""
        values = [[seconds(side, device) for side in (first, second)] for _ in range(rounds + 1)]
        return cls.of(names, values[1:])

    @classmethod
    def of(cls, names: tuple[str, str], rounds: Sequence[Sequence[float]]) -> Pair:
        """From rounds of two values."""
        table = np.array(rounds)
        return cls(names, table[:, 0], table[:, 1])

    def line(self, unit: str, scale: float = 1.0) -> str:
        """Medians, the median of the rounds' ratios, and their quartiles and ends."""
        ratios = self.first / self.second
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        medians = [scale * float(np.median(side)) for side in (self.first, self.second)]
        return (
            f"{self.names[0]} {medians[0]:.4g} {unit}, {self.names[1]} {medians[1]:.4g} {unit}, "
            f"ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f}, ends {ratios.min():.3f} to "
            f"{ratios.max():.3f}, {len(ratios)} rounds)"
        )
