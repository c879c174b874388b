"""The `care-verl` command. Its libraries are those of the extra `tools`, which a GPU node does
without: then it says so, and nothing else.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

LIBRARIES = (
    "datasets",
    "httpx",
    "huggingface_hub",
    "ijson",
    "jinja2",
    "matplotlib",
    "rich",
    "scipy",
    "typer",
)
"""Of the extra `tools`, by the names they are imported by."""


def app() -> None:
    """Run the command, or end with 1 and one line that says what is missing."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        sys.exit(f"care-verl: no {', '.join(missing)} here: pip install 'care-verl[tools]'")
    from care_verl.tools import cli

    cli.app()


if __name__ == "__main__":
    app()
