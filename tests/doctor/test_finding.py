"""What every finding must hold."""

from __future__ import annotations

import pytest

from care_verl.tools.doctor.finding import Check, Finding, Level


def test_a_problem_without_a_remedy_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="says not what to change"):
        Check("data").error("a file is missing", "")


def test_findings_survive_json() -> None:
    finding = Check("data").warning("rows are long", "shorten them")
    assert Finding.from_mapping(finding.to_mapping()) == finding
    assert finding.level is Level.WARNING
