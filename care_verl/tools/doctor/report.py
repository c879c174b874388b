"""Findings as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from care_verl.common.files import write_text
from care_verl.tools.doctor.finding import Finding, Level

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def table_of(findings: Sequence[Finding]) -> Table:
    """One row a finding; what to change stands below what was found."""
    table = Table(show_lines=True)
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found, and what to change", overflow="fold")
    for finding in findings:
        level = f"[{_STYLES[finding.level]}]{finding.level.value}[/]"
        text = escape(finding.found)
        if finding.change:
            text += f"\n[bold]→ {escape(finding.change)}[/]"
        table.add_row(finding.check, level, text)
    return table


def summary(findings: Sequence[Finding]) -> str:
    """How many of each level."""
    numbers = {level: sum(each.level is level for each in findings) for level in Level}
    return (
        f"errors: {numbers[Level.ERROR]}, warnings: {numbers[Level.WARNING]}, "
        f"ok: {numbers[Level.OK]}"
    )


def has_errors(findings: Sequence[Finding]) -> bool:
    """Whether a run should not be started."""
    return any(finding.level is Level.ERROR for finding in findings)


def write_json(findings: Sequence[Finding], path: Path) -> None:
    """A list of objects: level, check, found, change."""
    items = [finding.to_mapping() for finding in findings]
    write_text(path, json.dumps(items, indent=2, ensure_ascii=False) + "\n")
