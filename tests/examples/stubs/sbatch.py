#!/usr/bin/env -S python3 -S
"""Stands in for Slurm's `sbatch`: runs a copy of the script, as Slurm does on the first node.

At once. Its `#SBATCH` lines are read; options in front of the script prevail over them. A requeued
job is run again under its number; the tasks of an array run one after the other. Ends with the
status of the last run.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from events import folder

JOB_ID = 4711


def main() -> int:
    given, (script, *arguments) = split(sys.argv[1:])
    lines = [line[8:].strip() for line in Path(script).read_text().splitlines() if is_option(line)]
    options = {**split(lines)[0], **given}
    spool = Path(folder(), "spool", "slurm_script")
    spool.parent.mkdir()
    shutil.copyfile(script, spool)
    status = 0
    for number, task in enumerate(tasks(options.get("array"))):
        environment = job_environment(options, JOB_ID + number)
        if task is not None:
            environment["SLURM_ARRAY_TASK_ID"] = str(task)
        status = run([str(spool), *arguments], environment)
    return status


def is_option(line: str) -> bool:
    return line.startswith("#SBATCH ")


def split(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    options = {}
    while arguments and arguments[0].startswith("--"):
        name, _, value = arguments[0][2:].partition("=")
        options[name] = value
        arguments = arguments[1:]
    return options, arguments


def tasks(array: str | None) -> list[int | None]:
    if array is None:
        return [None]
    first, last = array.split("%")[0].split("-")
    return list(range(int(first), int(last) + 1))


def job_environment(options: dict[str, str], job_id: int) -> dict[str, str]:
    return {
        **os.environ,
        "SLURM_JOB_ID": str(job_id),
        "SLURM_JOB_NAME": options["job-name"],
        "SLURM_JOB_NODELIST": ",".join(f"node{i}" for i in range(int(options["nodes"]))),
        "SLURM_GPUS_ON_NODE": options["gpus-per-node"],
        "SLURM_SUBMIT_DIR": os.getcwd(),
    }


def run(command: list[str], environment: dict[str, str]) -> int:
    requeued = Path(folder(), "requeued")
    restarts = 0
    while True:
        if restarts:
            environment["SLURM_RESTART_COUNT"] = str(restarts)
        job = subprocess.Popen(["bash", *command], env=environment)
        Path(folder(), "batch.pid").write_text(str(job.pid))
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, lambda number, _, job=job: job.send_signal(number))
        status = job.wait()
        if not requeued.exists():
            return status
        requeued.unlink()
        restarts += 1


if __name__ == "__main__":
    sys.exit(main())
