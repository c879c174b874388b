"""The account of a prepared corpus: how many rows came in, were dropped and why, and were kept."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Report:
    """Counts of rows at each stage, and what they were checked against.

    stages: rows before the checks, by stage and in order (`source rows`, `after subset`).
    dropped: rows that a check left out, by reason.
    kept: rows written.
    notes: rows written to which something was done, by what.
    details: limits, model and whatever else the counts depend on.
    versions: version of each package that had a part in the bytes written.
    """

    name: str
    stages: Mapping[str, int]
    dropped: Mapping[str, int]
    kept: int
    notes: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """The report that `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """The report as a JSON object of one key a field."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def lines(self) -> list[tuple[str, int]]:
        """The account from the source's rows to those kept, as (words, rows)."""
        drops = sorted(self.dropped.items(), key=lambda item: (-item[1], item[0]))
        return [
            *self.stages.items(),
            *((f"dropped: {reason}", rows) for reason, rows in drops),
            ("kept", self.kept),
        ]

    def table(self) -> Table:
        """The account for the terminal."""
        table = Table("rows", title=self.name)
        table.add_column("number", justify="right")
        for words, rows in self.lines():
            table.add_row(words, f"{rows:,}")
        return table

    def to_markdown(self) -> str:
        """The account for a reader."""
        parts = [f"# {self.name}", _table("rows", self.lines())]
        if self.notes:
            parts += ["## Of the rows kept", _table("what", sorted(self.notes.items()))]
        if self.details:
            parts += ["## Checked against", _list(self.details)]
        parts += ["## Versions", _list(self.versions)]
        return "\n\n".join(parts) + "\n"


def versions(*packages: str) -> dict[str, str]:
    """The installed version of care-verl and of each of `packages`."""
    return {package: version(package) for package in ("care-verl", *packages)}


def _table(head: str, lines: list[tuple[str, int]]) -> str:
    body = [f"| {words} | {rows} |" for words, rows in lines]
    return "\n".join([f"| {head} | number |", "|---|---:|", *body])


def _list(items: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in items.items())
