"""Dummy weights leave alone what a model computed when it was built.

With the installed vLLM's own loader and, where it has one, its own class that normalises images;
and with a stand-in for it, so that a release without one is not let off. What this does not prove:
that a whole model sees its images after an update (`test_weight_update`), or anything on CUDA.
"""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import verl  # noqa: F401  # loads the plugin

from care_verl.platform import vllm_buffers

from .conftest import CheckPython

pytestmark = pytest.mark.slow

# Where releases keep the class that normalises images: 0.28 to 0.30, from 0.31 on.
HOMES = (
    ("vllm.model_executor.models.vision", "FusedInputNorm"),
    ("vllm.model_executor.layers.fusion.mm_input_norm", "FusedMMInputNorm"),
)
MEAN, DEVIATION = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]


class StandIn(torch.nn.Module):
    """Scale and shift as both of vLLM's classes keep them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", 1 / 255 / torch.tensor(DEVIATION))
        self.register_buffer("bias", -torch.tensor(MEAN) / torch.tensor(DEVIATION))


class Model(torch.nn.Module):
    def __init__(self, norm: torch.nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.layer = torch.nn.Linear(3, 2)


def loader() -> Any:
    from vllm.config.load import LoadConfig
    from vllm.model_executor.model_loader.dummy_loader import DummyModelLoader

    return DummyModelLoader(LoadConfig(load_format="dummy"))


def norms() -> list[torch.nn.Module]:
    from vllm.config import VllmConfig, set_current_vllm_config

    found: list[torch.nn.Module] = [StandIn()]
    for home, name in HOMES:
        try:
            kind = getattr(importlib.import_module(home), name, None)
        except ModuleNotFoundError:
            continue
        if kind is not None:
            with set_current_vllm_config(VllmConfig()):
                found.append(kind(MEAN, DEVIATION, 1 / 255))
    return found


def test_buffers_are_kept_and_weights_are_not() -> None:
    expected = StandIn()
    for norm in norms():
        model = Model(norm)
        before = model.layer.weight.detach().clone()
        loader().load_weights(model, None)
        for name in ("weight", "bias"):
            torch.testing.assert_close(getattr(norm, name), getattr(expected, name))
        assert not torch.equal(model.layer.weight, before)


def test_without_the_mend_they_are_lost() -> None:
    """Else there would be nothing to mend, and the test above would prove nothing."""
    model = Model(StandIn())
    loaded = loader()
    type(loaded).load_weights.__wrapped__(loaded, model, None)
    assert not torch.allclose(model.norm.bias, StandIn().bias)


@pytest.mark.parametrize("asked", ["1", ""])
def test_the_mend_holds_on_another_platform_in_runs_of_ours(
    check_python: CheckPython, asked: str
) -> None:
    """In a process of vLLM's own, whose worker imports verl for the extension that verl gives it.

    The module may have been imported before: here it stands in for vLLM's, which asks for a device
    when it is imported.
    """
    report = check_python(
        """
        import sys, types
        module = types.ModuleType("vllm.model_executor.model_loader.dummy_loader")
        class DummyModelLoader:
            def load_weights(self, model, model_config): ...
        module.DummyModelLoader = DummyModelLoader
        sys.modules[module.__name__] = module
        import care_verl.plugin
        print(hasattr(DummyModelLoader.load_weights, "__wrapped__"))
        """,
        VERL_PLATFORM="nvidia",
        VERL_USE_EXTERNAL_PLUGINS="none",
        **{vllm_buffers.ASKED: asked},
    )
    assert report == f"{bool(asked)}\n"


def test_a_second_call_does_nothing() -> None:
    class DummyModelLoader:
        def load_weights(self, model: Any, model_config: Any) -> None:
            raise NotImplementedError

    module = SimpleNamespace(DummyModelLoader=DummyModelLoader)
    vllm_buffers.keep_buffers(module)
    once = DummyModelLoader.load_weights
    vllm_buffers.keep_buffers(module)
    assert DummyModelLoader.load_weights is once
