"""What ends a CARE run: a dying vLLM engine, and Ctrl-C. Real processes, really killed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .running import Run

pytestmark = pytest.mark.e2e


def test_a_dead_engine_ends_the_run_with_its_name(overrides: list[str], tmp_path: Path) -> None:
    with Run(tmp_path / "run", [*overrides, "trainer.total_training_steps=500"]) as run:
        run.wait_for_step(1)
        (engine,) = run.named("EngineCore")
        engine.kill()
        killed = time.monotonic()
        assert run.finish(60) != 0
        assert time.monotonic() - killed < 60
        assert "vLLM engine" in run.log
        deadline = time.monotonic() + 20
        while run.processes() and time.monotonic() < deadline:
            time.sleep(0.5)
        assert run.processes() == []


def test_ctrl_c_leaves_no_process(overrides: list[str], tmp_path: Path) -> None:
    with Run(tmp_path / "run", [*overrides, "trainer.total_training_steps=500"]) as run:
        run.wait_for_step(1)
        run.interrupt()
        assert run.finish(60) != 0
        deadline = time.monotonic() + 20
        while run.processes() and time.monotonic() < deadline:
            time.sleep(0.5)
        assert [" ".join(p.cmdline()) for p in run.processes()] == []
