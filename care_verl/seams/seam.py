"""One place in verl that an adapter relies on, and whether it is still as the adapter knows it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from care_verl.platform.contract import TRIED_VERSIONS
from care_verl.training.run.actor_classes import plain_class


@dataclass(frozen=True)
class Seam:
    """What a module of care-verl relies on in a function or class of verl or TransferQueue.

    Where a hook goes before, after or in the place of a function, that is the order or the names
    in its body; where it overrides or calls the function, its parameters.

    name: what is relied on, or module and method. user: the module, under `care_verl`.
    target: `MODULE:NAME`, looked up when it is asked for. fragments: of the target's source, in
    their order. parameters: names of all of its parameters. only_with: a module without which
    verl has nothing of the kind, and the adapter nothing to do.
    """

    name: str
    user: str
    target: str
    fragments: Sequence[str] = ()
    parameters: str | None = None
    only_with: str | None = None

    @property
    def module(self) -> str:
        """Where the target lies."""
        return self.target.partition(":")[0]

    @property
    def remedy(self) -> str:
        """What to do about a fault."""
        return (
            f"install verl {' or '.join(TRIED_VERSIONS['verl'])} and the vLLM it was tried with, "
            f"or adapt care_verl.{self.user}"
        )

    def fault(self) -> str | None:
        """What is not as known; None where all is.

        A wrapper made with `functools.wraps`, as the plugin's own are, is looked through.
        """
        if self.only_with is not None and find_spec(self.only_with) is None:
            return None
        try:
            target = self._resolve()
            found = _parameters_fault(target, self.parameters) or _source_fault(
                target, self.fragments
            )
        # Gone, or nothing whose source and parameters can be seen.
        except (ImportError, AttributeError, OSError, TypeError, ValueError) as error:
            found = f"cannot be looked at ({type(error).__name__}: {error})"
        place = self.target.replace(":", ".")
        return found and f"seam {self.name!r}, used by care_verl.{self.user}: {place} {found}"

    def _resolve(self) -> Any:
        module, _, path = self.target.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
            if hasattr(found, "__ray_metadata__"):
                found = plain_class(found)
        return inspect.unwrap(found)


def _parameters_fault(target: Any, expected: str | None) -> str | None:
    if expected is None:
        return None
    names = inspect.signature(target).parameters
    found = ", ".join(name for name in names if name != "_ray_trace_ctx")  # Ray adds that one
    return None if found == expected else f"takes ({found}); known is ({expected})"


def _source_fault(target: Any, fragments: Sequence[str]) -> str | None:
    source = inspect.getsource(target) if fragments else ""
    position, behind = 0, ""
    for fragment in fragments:
        found = source.find(fragment, position)
        if found < 0:
            return f"has no {fragment!r}{behind}"
        position, behind = found + len(fragment), f" behind {fragment!r}"
    return None
