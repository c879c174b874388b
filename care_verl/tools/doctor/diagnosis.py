"""What a run's log says: known errors with their remedies, or the last exception."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.log_lines import Line, lines_of
from care_verl.tools.doctor.tracebacks import Raised, Tracebacks

CHECK = Check("log")
_SHOWN = 300


@dataclass(frozen=True)
class KnownError:
    """An entry of `known_errors.yaml`, which explains the fields."""

    name: str
    texts: tuple[str, ...]
    diagnosis: str
    remedy: str
    sources: tuple[dict[str, str], ...]
    pattern: str | None = None
    frames: str | None = None
    consequence: bool = False

    def fits(self, text: str, frames: str) -> bool:
        """Whether a line, with the frames of its traceback, is this error."""
        if not any(words in text for words in self.texts):
            return False
        if self.pattern is not None and re.search(self.pattern, text) is None:
            return False
        return self.frames is None or re.search(self.frames, frames) is not None


@dataclass
class Sighting:
    """A known error in a log: its first line, and how often it came."""

    error: KnownError
    line: Line
    count: int = 1


@dataclass(frozen=True)
class LogReport:
    """What was found in a log, in the order of first appearance."""

    sightings: list[Sighting]
    last: Raised | None
    lines: int


@cache
def known_errors() -> tuple[KnownError, ...]:
    """The entries of `known_errors.yaml`, in their order."""
    import yaml

    text = files("care_verl.tools.doctor").joinpath("known_errors.yaml").read_text(encoding="utf-8")
    entries = yaml.safe_load(text)
    lists = ("texts", "sources")
    return tuple(
        KnownError(**{**entry, **{name: tuple(entry[name]) for name in lists}}) for entry in entries
    )


def read_log(path: Path) -> LogReport:
    """Read a log of any size once, line by line. Raises OSError where it cannot be read."""
    return report_on(lines_of(path), known_errors())


def report_on(lines: Iterable[Line], known: Sequence[KnownError]) -> LogReport:
    """The known errors among `lines`, and the last exception."""
    # Plain words are found a hundred times faster than the patterns.
    words = sorted({text for error in known for text in error.texts})
    tracebacks, found, number = Tracebacks(), dict[str, Sighting](), 0
    for line in lines:
        number = line.number
        tracebacks.follow(line)
        if any(each in line.text for each in words):
            _note(line, tracebacks.frames(line.speaker), known, found)
    return LogReport(list(found.values()), tracebacks.last, number)


def _note(line: Line, frames: str, known: Sequence[KnownError], found: dict[str, Sighting]) -> None:
    error = next((each for each in known if each.fits(line.text, frames)), None)
    if error is None:
        return
    if error.name in found:
        found[error.name].count += 1
    else:
        found[error.name] = Sighting(error, line)


def findings_of(report: LogReport) -> list[Finding]:
    """Causes first, then what follows from them; without any, the last exception."""
    causes = [each for each in report.sightings if not each.error.consequence]
    others = [each for each in report.sightings if each.error.consequence]
    findings = [_finding(each) for each in (*causes, *others)]
    if not causes and report.last is not None:
        findings.append(_unknown(report.last))
    return CHECK.unless(findings, f"{report.lines:,} lines, no known error and no traceback")


def _finding(sighting: Sighting) -> Finding:
    error, line = sighting.error, sighting.line
    times = f", {sighting.count} times" if sighting.count > 1 else ""
    quoted = " ".join(line.text.split())[:_SHOWN]
    return CHECK.error(
        f"{error.name} (line {line.number}{times}): {error.diagnosis}\n{quoted}", error.remedy
    )


def _unknown(raised: Raised) -> Finding:
    text = " ".join(raised.line.text.split())[:_SHOWN]
    return CHECK.error(
        f"no known error explains this log. Its last exception (line {raised.line.number}): "
        f"{text}\n{raised.frame}",
        "read the traceback above that line; the first error of a log matters, not the last: "
        "docs/troubleshooting.md",
    )
