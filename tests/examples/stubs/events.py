"""What the stand-ins were called with, in one file."""

import json
import os
from pathlib import Path


def folder() -> str:
    return os.environ["STUB_FOLDER"]


def record(*event: str) -> None:
    with Path(folder(), "events.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")
