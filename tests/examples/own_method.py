"""The example method as an installed package: its folder and the one line of an entry point."""

from __future__ import annotations

import os
from pathlib import Path

import tomllib

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_method"
NAME = "leave_one_out"


def installed(folder: Path) -> dict[str, str]:
    """Variables of a process that has the example installed, as pip would, from `folder`."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    made = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    ((group, points),) = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (made / "entry_points.txt").write_text("\n".join(lines) + "\n")
    paths = [str(folder), str(EXAMPLE), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
