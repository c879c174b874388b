"""verl's FSDP2 engines, registered for the device `cpu` too.

Only FSDP2: FSDP1 refuses to initialise from parameters on the CPU, and verl then reports that no
engine is registered for it.
"""

from __future__ import annotations

from typing import Any

MODULE = "verl.workers.engine.fsdp.transformer_impl"
BACKEND = "fsdp2"


def register_engines(transformer_impl: Any) -> None:
    """Register the language and value engines, unchanged, under device `cpu`."""
    engines = {
        "language_model": transformer_impl.FSDPEngineWithLMHead,
        "value_model": transformer_impl.FSDPEngineWithValueHead,
    }
    for model_type, engine in engines.items():
        transformer_impl.EngineRegistry.register(model_type, BACKEND, device="cpu")(engine)
