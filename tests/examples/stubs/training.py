#!/usr/bin/env -S python3 -S
"""Stands in for `python` and `torchrun` of a node: training is played, the gate is the real one.

STUB_TRAINING is what training does: end with a status, or `wait` for SIGINT after saving a
checkpoint, or `wait-unsaved` without one. After a requeue it ends at once, with status 0.
"""

import os
import signal
import sys
import time
from pathlib import Path

from events import record

arguments = sys.argv[1:]
if arguments[0].endswith("gate.py"):
    record("gate", *arguments[1:])
    os.environ["PYTHONPATH"] = os.environ["STUB_MODULES"]
    os.execv(sys.executable, [sys.executable, "-S", *arguments])

program = f"{Path(sys.argv[0]).name} {arguments[arguments.index('-m') + 1]}"
record("train", os.environ["SLURMD_NODENAME"], program, *arguments)
what = os.environ.get("STUB_TRAINING", "0")
overrides = dict(argument.partition("=")[::2] for argument in arguments)
checkpoints = Path(overrides["trainer.default_local_dir"].strip("'"))
if what.isdigit():
    sys.exit(int(what))
if "SLURM_RESTART_COUNT" in os.environ:
    sys.exit(0)
if what == "wait":
    checkpoints.mkdir(parents=True, exist_ok=True)
    (checkpoints / "latest_checkpointed_iteration.txt").write_text("20")


def interrupted(*_: object) -> None:
    record("interrupted", os.environ["SLURMD_NODENAME"])
    sys.exit(1)


signal.signal(signal.SIGINT, interrupted)
record("waiting")
time.sleep(60)
