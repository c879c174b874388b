"""The gate's judgement, without Ray. `test_slurm_training` runs it as a program."""

from __future__ import annotations

import importlib.util
import time
from types import ModuleType

import pytest

from .conftest import SCRIPTS


@pytest.fixture(scope="module")
def gate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gate", SCRIPTS / "gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_missing(gate: ModuleType) -> None:
    there = {"node0": 8.0, "node1": 7.0, "another": 8.0}
    assert gate.missing(["node0", "node1", "node2"], 8, there) == {
        "node1": "7 GPUs, expected 8",
        "node2": "not registered",
    }


def test_it_waits_until_the_last_one_comes(
    gate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "POLL_S", 0.0)
    looks = iter([{}, {"node0": 1.0}, {"node0": 1.0, "node1": 1.0}])
    found = gate.wait_for(["node0", "node1"], 1, time.monotonic() + 60, lambda: next(looks))
    assert found == {"node0": 1.0, "node1": 1.0}


def test_it_looks_at_least_once(gate: ModuleType) -> None:
    assert gate.wait_for(["node0"], 1, time.monotonic() - 1, lambda: {"node0": 1.0}) == {
        "node0": 1.0
    }
