"""What one machine of a cluster tells about itself.

Sent to the nodes by value, so that a node without care-verl can answer too: the standard library
only, no import from this package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_SEAMS_TIMEOUT_S = 300


def describe_node(packages: list[str], paths: dict[str, str], folder: str) -> dict[str, Any]:
    """Versions, the plugin, which paths are there, and room.

    packages: distributions whose versions are asked for. paths: what must be there, by key.
    folder: where checkpoints go. `plugin` is the inspection's exit status and output.
    """
    versions = {name: _version(name) for name in packages}
    versions["python"] = ".".join(str(part) for part in sys.version_info[:3])
    existing = _existing(folder)
    return {
        "python": sys.executable,
        "versions": versions,
        "plugin": _plugin(),
        "missing": [key for key, path in paths.items() if not os.path.exists(path)],
        "writable": os.access(existing, os.W_OK),
        "free": shutil.disk_usage(existing).free,
        "shared_memory": shutil.disk_usage("/dev/shm").free,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _existing(folder: str) -> str:
    path = os.path.abspath(folder)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _plugin() -> tuple[int, str]:
    """Status and output of the inspection (`doctor.seams`) of this node's Python."""
    done = subprocess.run(
        [sys.executable, "-m", "care_verl.tools.doctor.seams"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SEAMS_TIMEOUT_S,
    )
    return done.returncode, done.stdout
