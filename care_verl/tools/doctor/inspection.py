"""The inspection of the plugin (`seams`), run in a process of its own, and what it printed."""

from __future__ import annotations

import json
import subprocess
import sys

from care_verl.tools.doctor.finding import Check, Finding

CHECK = Check("plugin")
MODULE = "care_verl.tools.doctor.seams"
_MARK = "care-verl doctor:"
_TIMEOUT_S = 600


class SeamInspection:
    """The inspection in a process of its own, started at once and read later."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def findings(self) -> list[Finding]:
        """Wait for the end. Raises subprocess.TimeoutExpired after ten minutes."""
        output, _ = self._process.communicate(timeout=_TIMEOUT_S)
        return findings_in(output, self._process.returncode)


def as_line(findings: list[Finding]) -> str:
    """What the module prints."""
    return _MARK + json.dumps([finding.to_mapping() for finding in findings])


def findings_in(output: str, status: int) -> list[Finding]:
    """What the module printed, among whatever the libraries printed."""
    for line in output.splitlines():
        if line.startswith(_MARK):
            return [Finding.from_mapping(item) for item in json.loads(line[len(_MARK) :])]
    last = output.strip().splitlines()[-1:] or ["no output"]
    return [
        CHECK.error(
            f"`{sys.executable} -m {MODULE}` ended with status {status}: {last[0]}",
            "run that command and mend what its traceback names; verl cannot be imported here",
        )
    ]
