"""Looking for one finding among many."""

from __future__ import annotations

from collections.abc import Iterable

from care_verl.tools.doctor.finding import Finding, Level


def the(level: Level, findings: Iterable[Finding], *words: str) -> Finding:
    """The one finding of this level that has all the words in what was found."""
    listed = list(findings)
    fitting = [
        finding
        for finding in listed
        if finding.level is level and all(word in finding.found for word in words)
    ]
    assert len(fitting) == 1, f"{len(fitting)} findings with {words} in {listed}"
    return fitting[0]


def the_error(findings: Iterable[Finding], *words: str) -> Finding:
    """The one error that has all the words."""
    return the(Level.ERROR, findings, *words)


def the_warning(findings: Iterable[Finding], *words: str) -> Finding:
    """The one warning that has all the words."""
    return the(Level.WARNING, findings, *words)


def all_well(findings: Iterable[Finding]) -> bool:
    """Whether there is no warning and no error, but something was looked at."""
    listed = list(findings)
    return bool(listed) and all(finding.level is Level.OK for finding in listed)
