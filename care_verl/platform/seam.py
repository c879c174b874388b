"""What an adapter relies on in a library beside what it overrides or patches, written above it.

A module's `RELIES_ON` is a tuple of seams. The tests and `care-verl doctor` find them, and compare
every override with what it overrides: where the code of a place differs, something relied on may be
gone. That all is as known does not show that a run goes well.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from care_verl.platform.actor_classes import plain_class
from care_verl.platform.contract import TRIED_VERSIONS

HOSTS = ("verl.", "vllm.", "transfer_queue.")


@dataclass(frozen=True, init=False)
class Seam:
    """What a module relies on in a function or class of verl or TransferQueue.

    target: `MODULE:NAME`, looked up when it is asked for. name: what is relied on. fragments: of
    the target's source, in their order. parameters: names of all of its parameters, where it is
    called. only_with: a module without which verl has nothing of the kind, and the adapter nothing
    to do.
    """

    target: str
    name: str
    fragments: tuple[str, ...]
    parameters: str | None
    only_with: str | None

    def __init__(
        self,
        target: str,
        name: str,
        *fragments: str,
        parameters: str | None = None,
        only_with: str | None = None,
    ) -> None:
        for field, value in (
            ("target", target),
            ("name", name),
            ("fragments", fragments),
            ("parameters", parameters),
            ("only_with", only_with),
        ):
            object.__setattr__(self, field, value)

    def fault(self) -> str | None:
        """What is not as known; None where all is.

        A wrapper made with `functools.wraps`, as the plugin's own are, is looked through.
        """
        if self.only_with is not None and find_spec(self.only_with) is None:
            return None
        try:
            target = self._resolve()
            found = self._other_parameters(target) or self._other_source(target)
        # Gone, or nothing whose source and parameters can be seen.
        except (ImportError, AttributeError, OSError, TypeError, ValueError) as error:
            found = f"cannot be looked at ({type(error).__name__}: {error})"
        return found and f"{self.name!r}: {self.target.replace(':', '.')} {found}"

    def _resolve(self) -> Any:
        module, _, path = self.target.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = plain(getattr(found, name))
        return inspect.unwrap(found)

    def _other_parameters(self, target: Any) -> str | None:
        if self.parameters is None:
            return None
        found = ", ".join(parameters_of(target))
        return (
            None if found == self.parameters else f"takes ({found}); known is ({self.parameters})"
        )

    def _other_source(self, target: Any) -> str | None:
        source = inspect.getsource(target) if self.fragments else ""
        position, behind = 0, ""
        for fragment in self.fragments:
            found = source.find(fragment, position)
            if found < 0:
                return f"has no {fragment!r}{behind}"
            position, behind = found + len(fragment), f" behind {fragment!r}"
        return None


def plain(value: Any) -> Any:
    """A class as it was before `ray.remote`; anything else as it is."""
    return plain_class(value) if hasattr(value, "__ray_metadata__") else value


def parameters_of(function: Any) -> list[str]:
    """Names of all parameters."""
    return list(_signature(function))


def seams_of(module: ModuleType) -> tuple[Seam, ...]:
    """Those that stand in a module."""
    found: tuple[Seam, ...] = vars(module).get("RELIES_ON", ())
    return found


def override_faults(module: ModuleType) -> Iterator[str]:
    """Methods of a module's classes that take other parameters than those that they override."""
    for kind in classes_of(module):
        hosts = [base for base in kind.__mro__ if base.__module__.startswith(HOSTS)]
        for name, method in vars(kind).items():
            base = next((vars(host)[name] for host in hosts if name in vars(host)), None)
            if not inspect.isfunction(method) or base is None:
                continue
            theirs = parameters_of(inspect.unwrap(base))
            if not _takes(method, theirs):
                yield (
                    f"{kind.__qualname__}.{name} takes ({', '.join(parameters_of(method))}); "
                    f"{hosts[0].__qualname__}'s takes ({', '.join(theirs)})"
                )


def classes_of(module: ModuleType) -> Iterator[type]:
    """The classes that a module defines."""
    for value in vars(module).values():
        kind = plain(value)
        if inspect.isclass(kind) and kind.__module__ == module.__name__:
            yield kind


def _signature(function: Any) -> dict[str, inspect.Parameter]:
    """Without the parameter that Ray adds to the methods of a class that it makes an actor of."""
    known = inspect.signature(function).parameters
    return {name: each for name, each in known.items() if name != "_ray_trace_ctx"}


def _takes(override: Any, theirs: list[str]) -> bool:
    """Whether an override has all parameters by name, or hands on those that it does not name.

    What it takes beyond them must have a default.
    """
    parameters = list(_signature(override).values())
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [each for each in parameters if each.kind not in rest]
    known = [each.name for each in named[: len(theirs)]]
    more = [each for each in named[len(theirs) :] if each.default is inspect.Parameter.empty]
    complete = len(named) < len(parameters) or len(known) == len(theirs)
    return known == theirs[: len(known)] and complete and not more


def remedy(module: str) -> str:
    """What to do about a fault of a module of care-verl."""
    return (
        f"install verl {' or '.join(TRIED_VERSIONS['verl'])} and the vLLM it was tried with, "
        f"or adapt {module}"
    )
