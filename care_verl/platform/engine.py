"""verl's FSDP engines, registered for the device `cpu` too."""

from __future__ import annotations

from types import ModuleType

MODULE = "verl.workers.engine.fsdp.transformer_impl"
_BACKENDS = ["fsdp", "fsdp2"]


def register_engines(transformer_impl: ModuleType) -> None:
    """Register the language and value engines, unchanged, under device `cpu`."""
    register = transformer_impl.EngineRegistry.register
    language, value = transformer_impl.FSDPEngineWithLMHead, transformer_impl.FSDPEngineWithValueHead
    register(model_type="language_model", backend=_BACKENDS, device="cpu")(language)
    register(model_type="value_model", backend=_BACKENDS, device="cpu")(value)
