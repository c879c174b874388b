"""Callbacks that run as soon as a module has been imported.

A plugin that is loaded while its host is still importing itself cannot import the rest of the
host: it would meet half-initialised modules, and every process would pay for imports it may never
need. It can wait for them instead:

    when_imported("verl.utils.distributed", use_gloo_once)

The callback receives the module after its body has run and before anyone else can see a name in
it, so a name replaced there is replaced for every `from module import name`. An exception raised
by a callback fails the import itself: a hook that cannot be applied never goes unnoticed.

A module run as a script (`python -m NAME`) is executed as `__main__`, which is not an import: no
callback waiting for NAME is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# A callback may give its module other attributes, which the type ModuleType does not allow.
Callback = Callable[[Any], None]

_waiting: dict[str, list[Callback]] = {}


def when_imported(module_name: str, callback: Callback) -> None:
    """Call `callback(module)` now if `module_name` is imported, else right after its import.

    Callbacks that wait for the same module run in the order of registration.

    Raises:
        RuntimeError: the module is being imported at this moment and nobody waited for it before
            that import began, so the end of its execution cannot be seen any more.
    """
    if module_name in _waiting:
        _waiting[module_name].append(callback)
        return
    module = sys.modules.get(module_name)
    if module is None:
        _watch_imports()
        _waiting[module_name] = [callback]
    elif _is_initializing(module):
        raise RuntimeError(
            f"cannot wait for {module_name!r}: its import has already begun and is not finished; "
            "call when_imported() before the import begins, or wait for another module"
        )
    else:
        callback(module)


def awaited() -> list[str]:
    """Modules that callbacks wait for, in the order of registration."""
    return list(_waiting)


def forget(module_name: str) -> None:
    """Drop what waits for `module_name`: its callbacks will not be called."""
    _waiting.pop(module_name, None)


def _is_initializing(module: ModuleType) -> bool:
    return getattr(getattr(module, "__spec__", None), "_initializing", False)


def _watch_imports() -> None:
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def _run_callbacks(module: ModuleType) -> None:
    """Run what waits for `module`, including what its callbacks add; forget it on success only."""
    for callback in _waiting[module.__name__]:
        callback(module)
    del _waiting[module.__name__]


class _CallbackLoader(Loader):
    """Executes a module with its own loader, then runs the callbacks."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # From here on the module must look as if nobody had watched its import.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _run_callbacks(module)


class _CallbackFinder(MetaPathFinder):
    """Finds awaited modules with the other finders and wraps their loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _waiting:
            return None
        spec = self._find_elsewhere(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _CallbackLoader(spec.loader)
        return spec

    def _find_elsewhere(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find_spec = getattr(finder, "find_spec", None)
            if finder is self or find_spec is None:
                continue
            spec = find_spec(fullname, path, target)
            if spec is not None:
                return spec
        return None


_FINDER = _CallbackFinder()
