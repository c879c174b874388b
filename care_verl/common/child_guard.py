"""A command that ends with whoever started it, whatever ended that one.

    python -I child_guard.py COMMAND ...

Standard input is a pipe that its caller holds open. When the pipe ends, because the caller closed
it or is gone, the command's whole process group is asked to end, and then made to. So it is when
the command itself is over and left processes behind. Alone in its file and without imports of
ours, so that it starts at once.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 20.0
_POLL_SECONDS = 0.1


def main(command: list[str]) -> int:
    """Run `command`; its exit status, or 128 + N after signal N, as shells give it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None:
        if select.select([sys.stdin], [], [], _POLL_SECONDS)[0]:
            break
    _end_group(process)
    status = process.wait()
    return status if status >= 0 else 128 - status


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL for whatever of the group is left after the grace."""
    _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and _is_there(process):
        time.sleep(_POLL_SECONDS)
    _signal(process.pid, signal.SIGKILL)


def _is_there(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # A leader that nobody waited for would count as there.
    return _signal(process.pid, 0)


def _signal(group: int, number: int) -> bool:
    """Whether the group was still there to be sent a signal."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    # An interrupt at the terminal is the caller's to handle; the pipe's end follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(main(sys.argv[1:]))
