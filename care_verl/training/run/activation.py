"""Proof that the plugin is active in this process.

verl loads plugins in a `try` that logs failures at DEBUG, so a worker without the plugin would
train something else in silence. Every actor of ours asks here first.
"""

from __future__ import annotations

from care_verl.methods import METHODS
from care_verl.training.wiring import loaded


def require_active(process: str) -> None:
    """Raise RuntimeError unless verl in this process has our policy losses.

    `process` names the actor in the message.
    """
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

    ours = {name: loss for m in METHODS.values() for name, loss in loaded(m).losses().items()}
    for name, loss in ours.items():
        registered = POLICY_LOSS_REGISTRY.get(name)
        if registered is not loss:
            raise RuntimeError(
                f"the care-verl plugin is not active in {process}: verl's policy loss "
                f"{name!r} is {registered!r}. Install care-verl on every node and check "
                "VERL_USE_EXTERNAL_PLUGINS (expected: auto, or a list with 'care')"
            )
