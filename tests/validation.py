"""What `main_ppo.main` does with a configuration before Ray starts."""

from __future__ import annotations

from omegaconf import DictConfig


def validate(config: DictConfig) -> DictConfig:
    """Our completion, in place, then verl's checks."""
    # Here, so that verl loads the plugin before any of its other modules is imported.
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    validate_config(
        config=config,
        use_reference_policy=need_reference_policy(config),
        use_critic=need_critic(config),
    )
    return config
