#!/usr/bin/env -S python3 -S
"""Stands in for Slurm's `scontrol`: `show hostnames` and `requeue`."""

import sys
from pathlib import Path

from events import folder, record

match sys.argv[1:]:
    case ["show", "hostnames", nodes]:
        print("\n".join(nodes.split(",")))
    case ["requeue", job]:
        record("requeue", job)
        Path(folder(), "requeued").touch()
    case unknown:
        sys.exit(f"scontrol: unknown {unknown}")
