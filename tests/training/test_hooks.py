"""What the plugin does to verl when CARE is not asked for (nothing), and how it proves itself.

What a CARE run's configuration becomes is in `test_configuration`; that GRPO trains the same with
and without the plugin is shown end to end.
"""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY
from verl.workers.rollout.replica import RolloutReplicaRegistry

from care_verl.training import hooks
from care_verl.training.run.activation import require_active

Composed = Callable[..., DictConfig]


class Validation:
    """A module in the place of `verl.utils.config`, hooked; notes what verl is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, bool, bool]] = []

        def validate_config(config: Any, use_reference_policy: bool, use_critic: bool) -> None:
            self.calls.append((config, use_reference_policy, use_critic))

        self.module: Any = ModuleType("config")
        self.module.validate_config = validate_config
        hooks.complete_before_validation(self.module)


@pytest.mark.parametrize("estimator", ["grpo", "gae", "reinforce_plus_plus"])
@pytest.mark.parametrize("asked", [(True, False), (False, True)])
def test_another_estimator_passes_through(
    composed: Composed, estimator: str, asked: tuple[bool, bool]
) -> None:
    config = composed(f"algorithm.adv_estimator={estimator}")
    before = copy.deepcopy(OmegaConf.to_container(config))
    validation = Validation()
    validation.module.validate_config(config, *asked)
    assert validation.calls == [(config, *asked)]
    assert validation.calls[0][0] is config
    assert OmegaConf.to_container(config) == before


@pytest.mark.parametrize(("beta", "reference"), [(0.02, True), (0.0, False)])
def test_care_is_expanded_before_verl_looks(
    composed: Composed, beta: float, reference: bool
) -> None:
    """verl was asked with the opposite: whether a reference is needed shows after expansion."""
    config = composed("algorithm.adv_estimator=care", f"+algorithm.care.beta={beta}")
    validation = Validation()
    validation.module.validate_config(config, not reference, False)
    assert validation.calls == [(config, reference, False)]
    assert config.actor_rollout_ref.actor.policy_loss.loss_mode == "care"


def test_an_unknown_validation_is_refused() -> None:
    module: Any = ModuleType("config")
    module.validate_config = lambda config: None
    with pytest.raises(RuntimeError, match=r"takes \['config'\].*use verl 0.9.1"):
        hooks.complete_before_validation(module)


def test_registering_adds_names_and_replaces_none() -> None:
    """Every other entry of verl's registries is still verl's own."""
    for registry, ours in (
        (POLICY_LOSS_REGISTRY, {"care"}),
        (ADV_ESTIMATOR_REGISTRY, {"care", "grpo_care"}),
        (TRAINER_REGISTRY, {"care_verl_plugin", "care_verl_plugin_grpo_care"}),
    ):
        foreign = {
            str(name)
            for name, entry in registry.items()
            if not inspect.getmodule(entry).__name__.startswith("verl.")  # type: ignore[union-attr]
        }
        assert foreign == ours


def test_the_rollout_server_is_verls_until_a_care_trainer_starts() -> None:
    loader = inspect.getmodule(RolloutReplicaRegistry._registry["vllm"])
    assert loader is not None
    assert loader.__name__.startswith("verl.")


def test_the_estimator_by_itself_explains_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match="trainer.use_v1=True"):
        ADV_ESTIMATOR_REGISTRY["care"](token_level_rewards=None)


def test_installing_again_changes_nothing() -> None:
    before = (dict(POLICY_LOSS_REGISTRY), dict(ADV_ESTIMATOR_REGISTRY), dict(TRAINER_REGISTRY))
    import verl.trainer.ppo.core_algos
    import verl.trainer.ppo.v1

    hooks.register_algorithms(verl.trainer.ppo.core_algos)
    hooks.import_trainers(verl.trainer.ppo.v1)
    assert before == (POLICY_LOSS_REGISTRY, ADV_ESTIMATOR_REGISTRY, TRAINER_REGISTRY)


@pytest.mark.slow
@pytest.mark.parametrize(
    "first",
    [
        "verl",
        "care_verl.training.run.trainers.base",
        "care_verl.training.care.trainer",
        "care_verl.training.grpo_care.trainer",
    ],
)
def test_both_trainers_are_registered_whatever_is_imported_first(first: str) -> None:
    """In a process of its own."""
    code = (
        f"import {first}\n"
        "from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY\n"
        "print(*(c.__module__ for m, c in TRAINER_REGISTRY.items() if m.startswith('care')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    registered = set(done.stdout.splitlines()[-1].split())
    assert registered == {"care_verl.training.care.trainer", "care_verl.training.grpo_care.trainer"}


def test_an_active_plugin_is_recognised() -> None:
    require_active("this test")


@pytest.mark.parametrize("registered", [None, "another loss"])
def test_an_inactive_plugin_is_named(
    monkeypatch: pytest.MonkeyPatch, registered: str | None
) -> None:
    if registered is None:
        monkeypatch.delitem(POLICY_LOSS_REGISTRY, "care")
    else:
        monkeypatch.setitem(POLICY_LOSS_REGISTRY, "care", registered)
    with pytest.raises(RuntimeError) as error:
        require_active("an FSDP actor")
    for part in ("an FSDP actor", repr(registered), "VERL_USE_EXTERNAL_PLUGINS", "every node"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "build",
    [
        "care_verl.training.care.worker.CareActorRolloutRefWorker",
        "care_verl.training.care.agent_loop.CareAgentLoopWorker",
    ],
)
def test_actors_ask_before_they_start(monkeypatch: pytest.MonkeyPatch, build: str) -> None:
    """Without arguments verl's own constructors would raise a TypeError instead."""
    from verl.utils.import_utils import load_class_from_fqn

    monkeypatch.delitem(POLICY_LOSS_REGISTRY, "care")
    with pytest.raises(RuntimeError, match="plugin is not active"):
        load_class_from_fqn(build, "actor")()
