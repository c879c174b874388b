#!/usr/bin/env -S python3 -S
"""Stands in for Slurm's `srun`: runs the command once for each node of --nodelist, on this machine.

Each task is a session of its own with the node's name in SLURMD_NODENAME and its place in the list
in SLURM_NODEID, behind STUB_ENTER_NODE where that is set. Signals to this process end the tasks by
force, which a script must not rely on.
"""

import os
import shlex
import signal
import subprocess
import sys

from events import record

LOG = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def main() -> int:
    options, command = split(sys.argv[1:])
    record("srun", options["nodelist"], *command[:2])
    nodes = options["nodelist"].split(",")
    tasks = [start(place, node, options, command) for place, node in enumerate(nodes)]

    def kill(*_: object) -> None:
        for task in tasks:
            task.kill()

    signal.signal(signal.SIGTERM, kill)
    ended: dict[int, int] = {}
    while len(ended) < len(tasks):
        pid, status = os.wait()
        ended[pid] = os.waitstatus_to_exitcode(status)
        if ended[pid] and "kill-on-bad-exit" in options:
            kill()
    # A task that a signal ends has status 128 + signal for Slurm.
    return max(status if status >= 0 else 128 - status for status in ended.values())


def split(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    options = {}
    while arguments[0].startswith("--"):
        name, _, value = arguments.pop(0)[2:].partition("=")
        options[name] = value
    nodes = len(options["nodelist"].split(","))
    assert options["nodes"] == options["ntasks"] == str(nodes), options
    return options, arguments


def start(place: int, node: str, options: dict[str, str], command: list[str]) -> subprocess.Popen:
    output = options.get("output")
    target = os.open(output.replace("%N", node), LOG) if output else None
    enter = shlex.split(os.environ.get("STUB_ENTER_NODE", "").replace("NODE", node))
    return subprocess.Popen(
        [*enter, *command],
        stdout=target,
        stderr=subprocess.STDOUT if output else None,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "SLURMD_NODENAME": node, "SLURM_NODEID": str(place)},
        start_new_session=True,
        # A shell's background processes ignore SIGINT, and pass that on; tasks of Slurm do not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


if __name__ == "__main__":
    sys.exit(main())
