"""The devices that a test runs on: the CPU always, so that its body is known to work, and CUDA."""

from __future__ import annotations

import pytest
import torch

_WITHOUT = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device, and torch sees none here"
)
CUDA = pytest.param("cuda", marks=[pytest.mark.gpu, _WITHOUT])

# A decorator, not a fixture: a machine that is lent has no hypothesis, which tests/conftest.py
# wants, so that these are run there with --noconftest.
on_each_device = pytest.mark.parametrize("device", ["cpu", CUDA])
only_on_cuda = pytest.mark.parametrize("device", [CUDA])
