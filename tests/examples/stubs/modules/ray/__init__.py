"""Stands in for Ray in `gate.py`: the nodes of the stub cluster."""

import os
from pathlib import Path
from typing import Any

_CLUSTER = Path(os.environ["STUB_FOLDER"], "cluster")


def init(address: str, log_to_driver: bool) -> None:
    if not _CLUSTER.exists():
        raise ConnectionError(f"nobody listens at {address}")


def nodes() -> list[dict[str, Any]]:
    return [
        {"NodeName": node.name, "Alive": True, "Resources": {"GPU": float(node.read_text())}}
        for node in _CLUSTER.iterdir()
    ]
