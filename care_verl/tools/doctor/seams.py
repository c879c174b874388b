"""Is the plugin active in this Python, and does it know every place of verl and vLLM it hooks into?

Run as a module in a process of its own (`inspection`), which imports what a run imports and prints
findings as JSON: what is active there is active in a run, and an import that fails does not end the
doctor.

Five ways lead to the places. The plugin's own guards run when the modules that it waits for are
imported (`platform.post_import`); its adapters import the names that they need from verl and vLLM;
their classes override methods and call those of their bases; the rollout server has guards of its
own; and what a module relies on beyond that stands in it (`RELIES_ON`, `platform.seam`).
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

from care_verl.platform.seam import HOSTS, classes_of, override_faults, remedy, seams_of
from care_verl.tools.doctor.finding import Finding
from care_verl.tools.doctor.inspection import CHECK, as_line

POLICY = "VERL_USE_EXTERNAL_PLUGINS"
_ADAPTERS = ("care_verl.training", "care_verl.rollout")
_DISPENSABLE = ("torchvision.", "torchcodec.")
_CALLED = re.compile(r"\bsuper\(\)\.(\w+)\(")
_REMEDY = "install verl 0.9.1 and the vLLM it was tried with, or adapt care-verl to these releases"


def inspect_plugin() -> list[Finding]:
    """Import what a run imports, and report. Call it in a process that has not imported verl."""
    import verl  # noqa: F401

    if "care_verl.plugin" not in sys.modules:
        return [_inactive()]
    problems = [
        problem
        for action in (
            _imported_by_the_hooks,
            _imported_by_the_adapters,
            _engine_guards,
        )
        for problem in action()
    ]
    try:
        from care_verl.training.run.activation import require_active

        require_active("this Python")
    except (RuntimeError, ImportError) as error:
        problems.append(CHECK.error(str(error), _REMEDY))
    return CHECK.unless(problems, "active; every place of verl and vLLM it hooks into is as known")


def _inactive() -> Finding:
    policy = os.environ.get(POLICY)
    if policy is not None and policy.strip().lower() != "auto":
        return CHECK.error(
            f"verl in this Python does not load the plugin: {POLICY} = {policy!r}",
            f"unset {POLICY}, or set it to auto or to a list with 'care'",
        )
    try:
        importlib.import_module("care_verl.plugin")
    # verl has swallowed it; whatever it was is the finding.
    except Exception as error:
        return CHECK.error(f"the plugin cannot be installed into verl: {error}", _REMEDY)
    return CHECK.error(
        "verl in this Python does not find the plugin among its entry points",
        "install care-verl with pip in this Python; on a path alone verl does not find it",
    )


def _imported_by_the_hooks() -> Iterator[Finding]:
    """Import what hooks wait for, so that their guards run."""
    from care_verl.platform import post_import

    while waiting := post_import.awaited():
        for name in waiting:
            yield from _attempt(name, partial(importlib.import_module, name))
            # Awaited but not installed, or refused by its guard: nothing more will come.
            post_import.forget(name)


def _imported_by_the_adapters() -> Iterator[Finding]:
    for package in _ADAPTERS:
        folder = importlib.import_module(package).__path__
        for item in pkgutil.walk_packages(folder, prefix=f"{package}."):
            yield from _attempt(item.name, partial(importlib.import_module, item.name))
            module = sys.modules.get(item.name)
            if module is not None:
                yield from _missing_in_bases(module)
                yield from _other_than_known(module)


def _missing_in_bases(module: ModuleType) -> Iterator[Finding]:
    for kind in classes_of(module):
        hosts = [base for base in kind.__mro__ if base.__module__.startswith(HOSTS)]
        called = set(_CALLED.findall(inspect.getsource(kind))) if hosts else set()
        for name in sorted(called):
            if not any(hasattr(base, name) for base in kind.__mro__[1:]):
                yield CHECK.error(
                    f"{kind.__qualname__} goes on from {hosts[0].__qualname__}.{name}, which "
                    f"{hosts[0].__module__} does not have",
                    _REMEDY,
                )


def _other_than_known(module: ModuleType) -> Iterator[Finding]:
    """Overrides and seams of a module that do not fit what is installed."""
    faults = [*override_faults(module), *(seam.fault() for seam in seams_of(module))]
    for fault in faults:
        if fault is not None:
            yield CHECK.error(f"{module.__name__}: {fault}", remedy(module.__name__))


def _engine_guards() -> Iterator[Finding]:
    """Guards that the rollout server and its worker run when they start."""
    from care_verl.rollout.checks import check_runner_choice, check_runner_source

    yield from _attempt("vLLM's model runner", check_runner_source)
    yield from _attempt("vLLM's model runner", check_runner_choice)
    yield from _attempt("vLLM's model runner", _check_runner)
    yield from _attempt("vLLM's engine client", lambda: asyncio.run(_check_engine_client()))


def _check_runner() -> None:
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    from care_verl.rollout.runner import check_runner

    # Its methods are looked at, none is called: it needs no engine around it.
    runner: Any = object.__new__(GPUModelRunner)
    runner.speculative_config, runner.is_pooling_model = None, False
    check_runner(runner)


async def _check_engine_client() -> None:
    from care_verl.rollout.engine_watch import EngineWatch

    engine = SimpleNamespace(errored=True, engine_core=SimpleNamespace(utility_results={}))
    await EngineWatch(engine, "the doctor").died()


def _attempt(what: str, action: Callable[[], object]) -> Iterator[Finding]:
    """A finding if the action fails, unless a package that can be done without does not load."""
    try:
        action()
    except ImportError as error:
        if not what.startswith(_DISPENSABLE):
            yield CHECK.error(f"{what}: {type(error).__name__}: {error}", _REMEDY)
    # Whatever a library raises while it is imported is the finding.
    except Exception as error:
        yield CHECK.error(f"{what}: {type(error).__name__}: {error}", _REMEDY)


if __name__ == "__main__":
    print(as_line(inspect_plugin()))
