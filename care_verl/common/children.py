"""Commands that run beside this process, with their output in a file, and never outlive it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from care_verl.common import child_guard
from care_verl.common.errors import CareVerlError

_POLL_SECONDS = 0.5
_TAIL_LINES = 40


class CommandFailedError(CareVerlError, RuntimeError):
    """A command ended with an error; the message holds the end of its output."""


@contextmanager
def child(
    command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """`command`, running, with `environment` added to this process's own.

    Output goes to `log`. When the block ends, in whatever way, so have the command and all that it
    started.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", child_guard.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def run(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    watch: Callable[[], None] = lambda: None,
) -> int:
    """Run `command` to its end; its exit status. `watch` is called while it runs, and may raise."""
    with child(command, log, environment) as process:
        while process.poll() is None:
            watch()
            time.sleep(_POLL_SECONDS)
    watch()
    return process.returncode


def logged_run(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Run `command` to its end, as `run` does.

    Raises CommandFailedError when its exit status is not 0.
    """
    status = run(command, log, environment, watch)
    if status != 0:
        head = f"status {status} from: {' '.join(command)}"
        raise CommandFailedError("\n".join([head, f"The end of {log}:", tail(log)]))


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log; of a line that was redrawn again and again, its last state."""
    # Bytes: read as text, every redrawing would become a line of its own.
    text = log.read_bytes() if log.exists() else b""
    kept = [line.rsplit(b"\r", 1)[-1] for line in text.rstrip(b"\n").split(b"\n")[-lines:]]
    return b"\n".join(kept).decode(errors="replace")
