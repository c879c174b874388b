"""The check that guards every patch: what is patched must still be what the patch was made for."""

from __future__ import annotations

import inspect
from importlib.metadata import PackageNotFoundError, version
from types import FunctionType, ModuleType

from care_verl.common.errors import CareVerlError

#: The releases whose source the patches of this package were written against.
TRIED_VERSIONS = {
    "verl": ("0.9.1",),
    "vllm": ("0.24.0", "0.28.0", "0.31.0", "0.32.0"),
    "torchvision": ("0.26.0", "0.28.0"),
}


class ContractError(CareVerlError, RuntimeError):
    """A library that care-verl patches no longer has the code that the patch expects."""


def require_source(target: FunctionType | type | ModuleType, *expected: str) -> None:
    """Raise ContractError unless the source of `target` contains every `expected` fragment."""
    source = inspect.getsource(target)
    missing = [fragment for fragment in expected if fragment not in source]
    if missing:
        raise ContractError(_message(target, f"source with {missing[0]!r}", "source without it"))


def require_parameters(target: FunctionType, *expected: str) -> None:
    """Raise ContractError unless `target` takes exactly the parameters `expected`, in order."""
    found = tuple(inspect.signature(target).parameters)
    if found != expected:
        raise ContractError(_message(target, f"parameters {expected}", f"{found}"))


def _message(target: FunctionType | type | ModuleType, expected: str, found: str) -> str:
    if isinstance(target, ModuleType):
        name = target.__name__
    else:
        name = f"{target.__module__}.{target.__qualname__}"
    library = name.partition(".")[0]
    tried = " or ".join(f"{library}=={each}" for each in TRIED_VERSIONS.get(library, "?"))
    return (
        f"care-verl patches {name} ({library} {_installed(library)}) but does not recognise it: "
        f"expected {expected}, found {found}. Install {tried}, which it was tried with, or adapt "
        "care-verl to the installed release."
    )


def _installed(library: str) -> str:
    for distribution in (library, f"{library}-cpu"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "not installed"
