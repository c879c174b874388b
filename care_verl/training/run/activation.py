"""Proof that the plugin is active in this process.

verl loads plugins in a `try` that logs failures at DEBUG, so a worker without the plugin would
train something else in silence. Every CARE actor asks here first.
"""

from __future__ import annotations

from care_verl.training.care.policy_loss import care_policy_loss
from care_verl.training.configuration import POLICY_LOSS


def require_active(process: str) -> None:
    """Raise RuntimeError unless verl in this process runs with the CARE policy loss.

    `process` names the actor in the message.
    """
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

    registered = POLICY_LOSS_REGISTRY.get(POLICY_LOSS)
    if registered is not care_policy_loss:
        raise RuntimeError(
            f"the care-verl plugin is not active in {process}: verl's policy loss "
            f"{POLICY_LOSS!r} is {registered!r}. Install care-verl on every node and check "
            "VERL_USE_EXTERNAL_PLUGINS (expected: auto, or a list with 'care')"
        )
