"""Lets what vLLM's model computes when it is built survive the dummy weights.

verl starts vLLM on dummy weights (`load_format=dummy`), on every platform, and then sends the
actor's. The dummy weights overwrite the model's persistent buffers as well, and what no actor has
is never brought back. From vLLM 0.28 on, Qwen2-VL, Qwen2.5-VL and others normalise images inside
the model, with scale and shift in such buffers: the policy would see noise. Whatever class a
release keeps them in, a buffer holds its right value or a starting value at this moment, never a
worse one than noise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from care_verl.platform.contract import require_parameters
from care_verl.platform.post_import import when_imported

MODULE = "vllm.model_executor.model_loader.dummy_loader"


ASKED = "CARE_VERL_KEEP_BUFFERS"
"""Environment variable that a server of ours sets for its engine and workers."""


def install_where_asked() -> None:
    """`install` in the processes of such a server: other runs have vLLM as it is."""
    if os.environ.get(ASKED) == "1":
        install()


def install() -> None:
    """Mend vLLM's loader of dummy weights when it is imported. A second call does nothing."""
    when_imported(MODULE, keep_buffers)


def keep_buffers(dummy_loader: Any) -> None:
    """Wrap `DummyModelLoader.load_weights`, unless it is wrapped already."""
    loader = dummy_loader.DummyModelLoader
    load = loader.load_weights
    if hasattr(load, "__wrapped__"):
        return
    require_parameters(load, "self", "model", "model_config")

    @wraps(load)
    def load_weights(self: Any, model: torch.nn.Module, model_config: Any) -> None:
        kept = [(buffer, buffer.clone()) for buffer in _persistent_buffers(model)]
        load(self, model, model_config)
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)

    loader.load_weights = load_weights


def _persistent_buffers(model: torch.nn.Module) -> Iterator[Tensor]:
    """Those that count as weights, as far as they have values yet."""
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name not in module._non_persistent_buffers_set and not buffer.is_meta:
                yield buffer
