"""Callbacks run once, after the module's body, before anyone sees its names; errors are loud."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from care_verl.platform.post_import import awaited, forget, when_imported

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """A function: source -> name of a module that holds it and has not been imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def write(source: str, name: str = "") -> str:
        names.append(name or f"awaited_{tmp_path.name.replace('-', '_')}_{len(names)}")
        path = tmp_path / f"{names[-1].replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
        importlib.invalidate_caches()
        return names[-1]

    yield write
    for name in names:
        sys.modules.pop(name, None)
        forget(name)


def test_waits_for_the_import(write: Write) -> None:
    name = write("value = 1")
    seen: list[int] = []
    when_imported(name, lambda module: seen.append(module.value))
    assert seen == []
    importlib.import_module(name)
    assert seen == [1]


def test_runs_at_once_when_already_imported(write: Write) -> None:
    module = importlib.import_module(write("value = 1"))
    seen: list[ModuleType] = []
    when_imported(module.__name__, seen.append)
    assert seen == [module]


def test_a_replaced_name_is_what_others_import(write: Write) -> None:
    patched = write("def f(): return 'theirs'")
    user = write(f"from {patched} import f\nresult = f()")
    when_imported(patched, lambda module: setattr(module, "f", lambda: "ours"))
    assert importlib.import_module(user).result == "ours"


def test_several_callbacks_run_in_order_and_once(write: Write) -> None:
    name = write("")
    seen: list[str] = []
    for mark in "abc":
        when_imported(name, lambda _, mark=mark: seen.append(mark))
    importlib.reload(importlib.import_module(name))
    assert seen == ["a", "b", "c"]


def test_a_callback_may_add_another_one(write: Write) -> None:
    name = write("")
    seen: list[str] = []

    def first(_: ModuleType) -> None:
        seen.append("first")
        when_imported(name, lambda _: seen.append("second"))

    when_imported(name, first)
    importlib.import_module(name)
    assert seen == ["first", "second"]


def test_an_error_fails_the_import_each_time(write: Write) -> None:
    name = write("")

    def fail(_: ModuleType) -> None:
        raise RuntimeError("cannot hook")

    when_imported(name, fail)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot hook"):
            importlib.import_module(name)
        assert name not in sys.modules


def test_a_failing_module_leaves_its_callbacks_waiting(write: Write, tmp_path: Path) -> None:
    name = write("raise ValueError('broken')")
    seen: list[ModuleType] = []
    when_imported(name, seen.append)
    with pytest.raises(ValueError, match="broken"):
        importlib.import_module(name)
    assert seen == []
    write("fixed_now = True", name)
    assert seen == [importlib.import_module(name)]


def test_a_module_in_the_middle_of_its_import_is_refused(write: Write) -> None:
    name = write(
        "from care_verl.platform.post_import import when_imported\n"
        "when_imported(__name__, lambda module: None)"
    )
    with pytest.raises(RuntimeError, match="has already begun and is not finished"):
        importlib.import_module(name)


def test_the_imported_module_looks_as_if_nobody_had_waited(write: Write) -> None:
    name = write("def f():\n    return 1\n")
    when_imported(name, lambda module: None)
    module = importlib.import_module(name)
    expected = type(importlib.import_module(write("")).__loader__)
    assert type(module.__loader__) is expected
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__
    assert inspect.getsource(module.f) == "def f():\n    return 1\n"


def test_packages_and_submodules(write: Write) -> None:
    package = write("from . import part", "awaited_package.__init__").partition(".")[0]
    part = write("value = 2", "awaited_package.part")
    seen: list[str] = []
    for name in (package, part):
        when_imported(name, lambda module: seen.append(module.__name__))
    importlib.import_module(package)
    assert seen == [part, package]


def test_a_module_that_is_forgotten_is_awaited_no_more(write: Write) -> None:
    name = write("")
    when_imported(name, lambda module: pytest.fail("called"))
    assert name in awaited()
    forget(name)
    importlib.import_module(name)
    assert name not in awaited()
    forget(name)


def test_a_missing_module_stays_missing() -> None:
    when_imported("no_such_module_anywhere", lambda module: None)
    try:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("no_such_module_anywhere")
    finally:
        forget("no_such_module_anywhere")
