"""verl's asynchronous entry points are refused as such, where each of them first can be.

Their configurations are composed as their mains do; the mains themselves, which need Ray, are not
run. What they call, and in which order, is read from their sources.
"""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import verl  # the plugin's hooks, before any other module of verl's
import verl.trainer.main_ppo as main_ppo
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from care_verl.training import hooks
from tests.validation import validate

from .conftest import WORKING_GRPO_LINE

MAINS = {
    "fully_async": ("fully_async_policy", "fully_async_ppo_trainer", "async_training"),
    "one_step_off": ("one_step_off_policy", "one_step_off_ppo_trainer", "rollout"),
}
METHODS = {"care": "CARE", "grpo_care": "GRPO-CARE"}


def composed_for(main: str, *overrides: str) -> DictConfig:
    package, name, _ = MAINS[main]
    folder = Path(verl.__file__).parent / "experimental" / package / "config"
    # As from verl's own folder, where one of them looks for `verl/trainer/config`.
    search = "hydra.searchpath=[pkg://verl.trainer.config]"
    with initialize_config_dir(str(folder), version_base=None):
        return compose(name, overrides=[search, *WORKING_GRPO_LINE, *overrides])


@pytest.mark.parametrize("main", MAINS)
@pytest.mark.parametrize("estimator", METHODS)
def test_an_asynchronous_configuration_is_refused_before_ray_starts(
    main: str, estimator: str
) -> None:
    """By `run_ppo`, which both mains call first, and by `validate_config`, which one of them calls.

    Without `bypass_mode`, whose refusal says nothing of the trainer.
    """
    straight = "algorithm.rollout_correction.bypass_mode=False"
    config = composed_for(main, f"algorithm.adv_estimator={estimator}", straight)
    package, _, section = MAINS[main]
    expected = (
        f"a section `{section}`: it is that of verl.experimental.{package}, .* older weights "
        f"decoded; {METHODS[estimator]} needs verl's synchronous V1 trainer: start `python -m "
        "verl.trainer.main_ppo`"
    )
    with pytest.raises(ValueError, match=expected):
        main_ppo.run_ppo(config, task_runner_class=None)
    with pytest.raises(ValueError, match=expected):
        validate(config)


def test_it_is_refused_as_what_it_is_where_bypass_mode_is_on_too() -> None:
    config = composed_for("one_step_off", "algorithm.adv_estimator=care")
    assert config.algorithm.rollout_correction.bypass_mode
    with pytest.raises(ValueError, match="one_step_off_policy"):
        validate(config)


@pytest.mark.parametrize("estimator", METHODS)
@pytest.mark.parametrize("mode", ["colocate_async", "separate_async"])
def test_the_asynchronous_modes_of_verls_v1_trainer_are_refused(
    composed: Any, estimator: str, mode: str
) -> None:
    config = composed(f"algorithm.adv_estimator={estimator}", f"trainer.v1.trainer_mode={mode}")
    with pytest.raises(ValueError, match=f"trainer_mode = '{mode}'.*asynchronous trainer"):
        validate(config)


def started(config: Any) -> list[Any]:
    """What verl's `run_ppo` is called with, through our wrapper."""
    calls: list[Any] = []
    module: Any = ModuleType("main_ppo")

    def run_ppo(config: Any, task_runner_class: Any) -> None:
        calls.append((config, task_runner_class))

    module.run_ppo = run_ppo
    hooks.refuse_unvalidated_runs(module)
    module.run_ppo(config, task_runner_class="a runner")
    return calls


@pytest.mark.parametrize("estimator", METHODS)
def test_a_main_of_ones_own_must_validate_first(composed: Any, estimator: str) -> None:
    config = composed(f"algorithm.adv_estimator={estimator}")
    with pytest.raises(ValueError, match="validate_config has not seen"):
        started(config)
    validate(config)
    assert started(config) == [(config, "a runner")]


def test_another_estimator_starts_as_ever(composed: Any) -> None:
    for config in (composed(), composed_for("fully_async"), composed_for("one_step_off")):
        assert started(config) == [(config, "a runner")]


def test_an_unknown_run_ppo_is_refused() -> None:
    module: Any = ModuleType("main_ppo")
    module.run_ppo = lambda config: None
    with pytest.raises(RuntimeError, match=r"takes \['config'\].*use verl 0.9.1"):
        hooks.refuse_unvalidated_runs(module)


def test_both_mains_start_by_run_ppo() -> None:
    """And import it when they run, so that they get the one that is hooked."""
    for package, module in (
        ("fully_async_policy", "fully_async_main"),
        ("one_step_off_policy", "main_ppo"),
    ):
        spec = find_spec(f"verl.experimental.{package}.{module}")
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text("utf-8").partition("def main(config):")[2]
        assert "from verl.trainer.main_ppo import run_ppo" in source
        assert "run_ppo(config, task_runner_class=" in source
    assert inspect.unwrap(main_ppo.run_ppo).__module__ == "verl.trainer.main_ppo"
