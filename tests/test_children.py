"""Commands that never outlive their caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from care_verl.common import child_guard
from care_verl.common.children import CommandFailedError, child, logged_run, run, tail

from .waiting import eventually, gone, pids


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_status_and_output(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run(shell("echo out; echo err >&2; echo $GIVEN; exit 7"), log, {"GIVEN": "x"}) == 7
    assert log.read_text().split() == ["out", "err", "x"]


def test_a_signal_is_told_as_shells_do(tmp_path: Path) -> None:
    assert run(shell("kill -9 $$"), tmp_path / "log", {}) == 128 + 9


def test_a_failure_shows_the_end_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError) as error:
        logged_run(shell("echo why; exit 3"), tmp_path / "log", {})
    first, *_, last = str(error.value).splitlines()
    assert first.startswith("status 3 from: sh -c")
    assert last == "why"


def test_an_error_while_it_runs_ends_it_and_its_children(tmp_path: Path) -> None:
    written = tmp_path / "pids"

    def watch() -> None:
        if written.exists() and len(written.read_text().split()) == 2:
            raise KeyboardInterrupt

    script = f"sleep 1000 & echo $! >> {written}; echo $$ >> {written}; wait"
    with pytest.raises(KeyboardInterrupt):
        run(shell(script), tmp_path / "log", {}, watch)
    assert all(map(gone, pids(written, 2)))


def test_what_a_command_leaves_behind_is_ended(tmp_path: Path) -> None:
    written = tmp_path / "pid"
    assert run(shell(f"sleep 1000 & echo $! > {written}"), tmp_path / "log", {}) == 0
    assert gone(*pids(written))


def test_one_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard has the grace written in its file: a copy of it with another one."""
    short = tmp_path / "child_guard.py"
    source = Path(child_guard.__file__).read_text()
    short.write_text(source.replace("GRACE_SECONDS = 20.0", "GRACE_SECONDS = 0.5"))
    monkeypatch.setattr(child_guard, "__file__", str(short))
    written = tmp_path / "pid"
    script = f"trap '' TERM; echo $$ > {written}; while true; do sleep 0.1; done"
    with child(shell(script), tmp_path / "log", {}):
        (pid,) = pids(written)
    assert gone(pid)


def test_killed_the_caller_leaves_nothing(tmp_path: Path) -> None:
    """SIGKILL gives it no time to clean up."""
    written = tmp_path / "pid"
    code = f"""
from pathlib import Path
from care_verl.common.children import run
run(["sh", "-c", "echo $$ > {written}; sleep 1000"], Path("{tmp_path / "log"}"), {{}})
"""
    caller = subprocess.Popen([sys.executable, "-c", code])
    (pid,) = pids(written)
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    assert eventually(lambda: gone(pid))


def test_the_end_of_a_log_without_the_bars_history(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"first\n" * 50 + b"10%\r50%\r100%\nlast\n")
    assert tail(log, 3) == "first\n100%\nlast"


def test_no_log_has_no_end(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == ""
