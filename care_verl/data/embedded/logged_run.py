"""A command that runs beside this process, with its output in a file."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from care_verl.common.errors import CareVerlError

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 20.0
_TAIL_LINES = 40


class CommandFailedError(CareVerlError, RuntimeError):
    """A command ended with an error; the message holds the end of its output."""


def logged_run(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    watch: Callable[[], None],
) -> None:
    """Run `command` with `environment` added to this process's own; call `watch` while it runs.

    Interrupted, it ends the command and all that it started before the interrupt goes on.

    Raises CommandFailedError when the command's status is not 0.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                watch()
                time.sleep(_POLL_SECONDS)
        except BaseException:
            _end(process)
            raise
    watch()
    if process.returncode != 0:
        raise CommandFailedError(_failure(command, process.returncode, log))


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _failure(command: Sequence[str], status: int, log: Path) -> str:
    tail = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    head = f"status {status} from: {' '.join(command)}"
    return "\n".join([head, f"The end of {log}:", *tail])
