#!/usr/bin/env -S python3 -S
"""Stands in for `ray start --block`: a node of the stub cluster until SIGTERM comes."""

import os
import signal
import sys
from pathlib import Path

from events import folder, record

options = dict(option[2:].partition("=")[::2] for option in sys.argv[2:])
node = options["node-name"]
record("ray start", node, *sys.argv[2:])
if node in os.environ.get("STUB_LOST_NODES", "").split():
    # Hangs, and never comes to the cluster.
    signal.pause()
if node in os.environ.get("STUB_BROKEN_NODES", "").split():
    sys.exit("the port is taken")
logs = Path(options["temp-dir"], "session_1", "logs")
logs.mkdir(parents=True, exist_ok=True)
(logs / "raylet.out").write_text(f"of {node}")
member = Path(folder(), "cluster", node)
member.parent.mkdir(exist_ok=True)
member.write_text(options["num-gpus"])


def stop(*_: object) -> None:
    member.unlink()
    record("ray stop", node)
    if node not in os.environ.get("STUB_STUBBORN_NODES", "").split():
        sys.exit(0)


signal.signal(signal.SIGTERM, stop)
while True:
    signal.pause()
