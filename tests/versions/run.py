"""The engine tests and a two-step run with several releases of vLLM.

    python -m tests.versions.run [--python PYTHON] [--folder DIR] [RELEASE ...]

Each release gets an environment of its own in DIR (this folder, unless told), made once; the table
of what passed is printed and lies in `outputs/versions.md`. Two cores need about a quarter of an
hour a release, and a download of several GB where PyTorch's own index does not answer.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .environment import RELEASES, ROOT, Environment, variables

TIMEOUT_S = 1200
PARTS: Mapping[str, Sequence[str]] = {
    "hooks": (
        "tests/seams",
        "tests/platform/test_buffers.py",
        "tests/platform/test_libraries.py",
        "tests/rollout/test_installed.py",
        "tests/rollout/test_runner.py",
        "tests/rollout/test_server_contract.py",
    ),
    "harvest, preemption": ("tests/rollout/test_harvest_vs_oracle.py",),
    "seeds in any company": ("tests/rollout/test_seeded.py",),
    "server": ("tests/rollout/test_server.py",),
    "weight update": ("tests/platform/test_weight_update.py",),
    "two steps": ("tests/e2e/test_care_run.py",),
}


@dataclass(frozen=True)
class Outcome:
    """What a part's tests came to."""

    passed: int
    failed: int
    seconds: float

    def __str__(self) -> str:
        if self.failed or not self.passed:
            return f"**{self.failed} of {self.passed + self.failed} failed**"
        return f"{self.passed} passed, {self.seconds:.0f} s"


@dataclass(frozen=True)
class Row:
    """A release: versions by name, and the outcome of each part."""

    vllm: str
    versions: Mapping[str, str]
    outcomes: Mapping[str, Outcome]

    @property
    def good(self) -> bool:
        """Whether something ran and nothing failed."""
        return all(each.passed and not each.failed for each in self.outcomes.values())


def run_part(environment: Environment, files: Sequence[str], report: Path) -> Outcome:
    """Run tests in an environment. A run that breaks off counts as one failure."""
    report.unlink(missing_ok=True)
    command = [environment.python, "-m", "pytest", "-q", "-m", "", f"--junitxml={report}", *files]
    try:
        subprocess.run(command, cwd=ROOT, env=variables(), timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return Outcome(0, 1, TIMEOUT_S)
    return read(report)


def read(report: Path) -> Outcome:
    """The outcome in pytest's file."""
    if not report.exists():
        return Outcome(0, 1, 0.0)
    (suite,) = ElementTree.parse(report).getroot()
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    skipped = int(suite.attrib["skipped"])
    passed = int(suite.attrib["tests"]) - failed - skipped
    return Outcome(passed, failed, float(suite.attrib["time"]))


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown."""
    head = ["vLLM", "torch", "transformers", "Python", *PARTS]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        versions = [row.versions[name] for name in ("torch", "transformers", "python")]
        lines.append([row.vllm, *versions, *(str(row.outcomes[part]) for part in PARTS)])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def known(name: str) -> str:
    """The name of a release. Raises ArgumentTypeError for one without a recipe."""
    if name not in RELEASES:
        raise argparse.ArgumentTypeError(f"{name!r}; expected one of {', '.join(RELEASES)}")
    return name


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("releases", nargs="*", type=known, metavar="RELEASE")
    parser.add_argument("--python", default=sys.executable, help="makes the environments")
    parser.add_argument("--folder", type=Path, default=ROOT)
    options = parser.parse_args(arguments)
    outputs = ROOT / "outputs"
    outputs.mkdir(exist_ok=True)
    rows = []
    for name in options.releases or RELEASES:
        environment = Environment(options.folder.absolute() / f".venv-vllm-{name}")
        environment.make(RELEASES[name], options.python)
        outcomes = {
            part: run_part(environment, files, outputs / f"versions-{name}.xml")
            for part, files in PARTS.items()
        }
        rows.append(Row(name, environment.found(), outcomes))
        (outputs / "versions.md").write_text(table(rows))
    print(table(rows))
    if not all(row.good for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
