"""The reference policy's parameters stay where they are.

verl shards a forward-only model with `CPUOffloadPolicy(pin_memory=True)`; memory is pinned for an
accelerator, and torch refuses to without one.
"""

from __future__ import annotations

import functools
from typing import Any

from care_verl.platform.contract import require_source

MODULE = "verl.workers.engine.fsdp.transformer_impl"


def offload_without_pinning(transformer_impl: Any) -> None:
    """Make verl's FSDP engine ask for an offload policy that does not pin memory."""
    engine = transformer_impl.FSDPEngine
    require_source(engine._build_fsdp_module, "CPUOffloadPolicy(pin_memory=True)")
    policy = transformer_impl.CPUOffloadPolicy

    @functools.wraps(policy)
    def without_pinning(pin_memory: bool) -> object:
        del pin_memory
        return policy(pin_memory=False)

    transformer_impl.CPUOffloadPolicy = without_pinning
