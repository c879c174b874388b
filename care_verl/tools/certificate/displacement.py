"""A policy away from the one that made the rollouts, where Eq. 12 clips.

At rho = 1 the clip and the minimum are never exercised, and the KL is zero.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from care_verl.tools.certificate.reference import Symbols, Update, update
from care_verl.training.care.capture_file import CapturedRow

SCALES = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
"""Root mean squares of the noise and of the step, as shares of that of each parameter."""

SEED = 0
LARGEST_K3 = 9.0
"""verl holds a token's KL at 10, which Eq. 13 does not; the displaced policy stays below."""

NEAREST_BOUND = 1e-4
"""No rho lies so near a clipping bound that float32 could put it on the other side."""


def displace(model: Any, gradients: Mapping[str, Tensor], scale: float) -> None:
    """Move every parameter against its gradient and by seeded Gaussian noise, in place.

    The step raises the ratios of positive tokens and lowers those of negative ones, until both are
    clipped; the noise leaves the path of the update's own optimizer.
    """
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            step = gradients[name] / _size(gradients[name]).clamp(min=1e-30)
            # Rounded to float32, so that every precision starts from the same numbers.
            parameter.copy_((parameter + scale * _size(parameter) * (noise - step)).float())


def _size(tensor: Tensor) -> Tensor:
    return tensor.pow(2).mean().sqrt()


def clipping_scale(
    model: Any, gradients: Mapping[str, Tensor], rows: Sequence[CapturedRow], symbols: Symbols
) -> float:
    """The scale at which most tokens of the rarer sign are clipped, of those that are sound.

    Raises ValueError where none is. The model is as before when this returns.
    """
    start = {name: value.clone() for name, value in model.state_dict().items()}
    seen: dict[float, float] = {}
    for scale in SCALES:
        displace(model, gradients, scale)
        with torch.no_grad():
            there = update(model, rows, symbols)
        model.load_state_dict(start)
        if _sound(there):
            seen[scale] = min(_clipped_shares(there))
    if not seen:
        raise ValueError(
            f"no displacement of {min(SCALES)} to {max(SCALES)} leaves the policy's KL within "
            f"{LARGEST_K3:g} a token and its ratios off the clipping bounds; expected at least one"
        )
    return max(seen, key=lambda scale: seen[scale])


def _sound(there: Update) -> bool:
    return there.largest_k3 < LARGEST_K3 and there.nearest_bound > NEAREST_BOUND


def _clipped_shares(there: Update) -> list[float]:
    return [
        clipped / tokens
        for clipped, tokens in zip(there.clipped, there.tokens, strict=True)
        if tokens
    ] or [0.0]


def save_policy(model: Any, original: Path, folder: Path) -> None:
    """Write the model's float32 weights beside what else `original` holds."""
    weights = shutil.ignore_patterns("*.safetensors", "*.bin", "*.index.json", "*.pt")
    shutil.copytree(original, folder, ignore=weights, dirs_exist_ok=True)
    state: dict[str, Tensor] = {
        name: value.to(torch.float32) for name, value in model.state_dict().items()
    }
    model.save_pretrained(folder, state_dict=state)
