"""Where the plugin takes hold of verl. Everything here is inert unless a run asks for a method of
ours.

| verl 0.9.1 | what for |
|---|---|
| `verl.utils.config.validate_config` | completes and checks the configuration before Ray starts |
| `verl.trainer.main_ppo.run_ppo` | a configuration that never went through it is refused |
| `verl.trainer.ppo.core_algos` registries | our policy losses, and the names of our estimators |
| `verl.trainer.ppo.v1` trainer registry | trainer modes `care_verl_plugin…` |
| `RewardLoopWorker`'s tokenizers | no remote code unless the run allows it |
| `hydra.core.plugins`, once Hydra is imported | `+recipe=NAME` |
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from care_verl.platform import when_imported
from care_verl.platform.places import TASK_RUNNER
from care_verl.platform.seam import Seam
from care_verl.training import reward_tokenizer

VALIDATE_PARAMETERS = ["config", "use_reference_policy", "use_critic"]
RUN_PARAMETERS = ["config", "task_runner_class"]


RELIES_ON = (
    Seam(
        f"{TASK_RUNNER}.run",
        "the trainer is chosen by its mode",
        "get_trainer_cls(config.trainer.v1.trainer_mode)",
    ),
)


def install() -> None:
    """Hook into verl, now or as soon as it has imported each part."""
    when_imported("verl.utils.config", complete_before_validation)
    when_imported("verl.trainer.main_ppo", refuse_unvalidated_runs)
    when_imported("verl.trainer.ppo.core_algos", register_algorithms)
    when_imported("verl.trainer.ppo.v1", import_trainers)
    when_imported(reward_tokenizer.MODULE, reward_tokenizer.ask_before_trusting)
    when_imported("hydra.main", register_recipes)


def complete_before_validation(module: ModuleType) -> None:
    """Wrap `validate_config` so that a run of ours is expanded first.

    Raises RuntimeError when verl's function does not take the parameters known here.
    """
    validate = module.validate_config
    parameters = list(inspect.signature(validate).parameters)
    if parameters != VALIDATE_PARAMETERS:
        raise RuntimeError(
            f"verl.utils.config.validate_config takes {parameters}, care-verl knows "
            f"{VALIDATE_PARAMETERS}; use verl 0.9.1"
        )

    @functools.wraps(validate)
    def validate_config(config: Any, use_reference_policy: bool, use_critic: bool) -> None:
        from care_verl.training.configuration import expand
        from care_verl.training.wiring import wiring_of

        wiring = wiring_of(config)
        if wiring is not None:
            expand(config, wiring)
            # verl asked for the reference before the expansion switched the KL term on or off.
            use_reference_policy = wiring.needs_reference(config)
        validate(config=config, use_reference_policy=use_reference_policy, use_critic=use_critic)

    vars(module)["validate_config"] = validate_config


def refuse_unvalidated_runs(module: ModuleType) -> None:
    """Wrap `run_ppo`, which starts Ray, so that a run of ours must have been completed before.

    verl's other entry points call it with a task runner of their own; `fully_async_policy` never
    validates, and dies where the first batch has been decoded. As a script (`python -m`) `main_ppo`
    is no import and stays as it is: it validates.

    Raises RuntimeError when verl's function does not take the parameters known here.
    """
    run_ppo = module.run_ppo
    parameters = list(inspect.signature(run_ppo).parameters)
    if parameters != RUN_PARAMETERS:
        raise RuntimeError(
            f"verl.trainer.main_ppo.run_ppo takes {parameters}, care-verl knows {RUN_PARAMETERS}; "
            "use verl 0.9.1"
        )

    @functools.wraps(run_ppo)
    def completed_run_ppo(config: Any, task_runner_class: Any) -> None:
        from care_verl.training.refusals import refuse_uncompleted
        from care_verl.training.wiring import wiring_of

        wiring = wiring_of(config)
        if wiring is not None:
            refuse_uncompleted(config, wiring)
        run_ppo(config, task_runner_class=task_runner_class)

    vars(module)["run_ppo"] = completed_run_ppo


def register_algorithms(module: ModuleType) -> None:
    """Our policy losses, and estimator names that only the trainers of this package may compute."""
    from care_verl.methods import METHODS
    from care_verl.training.wiring import loaded

    for name, method in METHODS.items():
        for loss_mode, loss in loaded(method).losses().items():
            module.register_policy_loss(loss_mode)(loss)
        module.register_adv_est(name)(_refusing(name))


@functools.cache
def _refusing(estimator: str) -> Callable[..., NoReturn]:
    def refuse_to_compute(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            f"algorithm.adv_estimator={estimator} was computed outside its trainer; start the run "
            "with `python -m verl.trainer.main_ppo` and trainer.use_v1=True, so that the plugin "
            "can complete the configuration"
        )

    return refuse_to_compute


def import_trainers(module: ModuleType) -> None:
    """Import the trainers behind our estimators; they register.

    They do so themselves because one of them may be what made verl import its trainers: then its
    own class does not exist yet.
    """
    from care_verl.methods import METHODS
    from care_verl.training.wiring import loaded

    for method in METHODS.values():
        importlib.import_module(loaded(method).trainer)


def register_recipes(module: ModuleType) -> None:
    """Put the shipped recipes on Hydra's search path."""
    from hydra.core.plugins import Plugins

    from care_verl.training.recipe_search_path import RecipeSearchPath

    Plugins.instance().register(RecipeSearchPath)
