"""Processes of their own, where nothing has been imported yet."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

from care_verl.platform.loopback import RAY_SWITCH

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]
CheckPython = Callable[..., str]

_OURS = (
    "VERL_PLATFORM",
    "VERL_USE_EXTERNAL_PLUGINS",
    "OMP_WAIT_POLICY",
    "VLLM_PLUGINS",
    RAY_SWITCH,
)


@pytest.fixture(scope="session")
def run_python() -> RunPython:
    """A function: code, environment -> how a new interpreter ended on it.

    The variables that select platform and plugins are set only where the test sets them.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _OURS}

    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**inherited, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def check_python(run_python: RunPython) -> CheckPython:
    """A function like `run_python` that requires success and returns what was printed."""

    def check(code: str, **environment: str) -> str:
        run = run_python(code, **environment)
        assert run.returncode == 0, run.stderr
        return run.stdout

    return check
