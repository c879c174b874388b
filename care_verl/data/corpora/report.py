"""The account of a prepared corpus: how many rows came in, were dropped and why, and were kept."""

import json
from collections.abc import Iterable, Mapping, Sequence
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
    versions: version of each package that had a part in the rows written.
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
        parts = [f"# {self.name}", markdown_table(["rows", "number"], self.lines())]
        if self.notes:
            notes = sorted(self.notes.items())
            parts += ["## Of the rows kept", markdown_table(["what", "number"], notes)]
        if self.details:
            parts += ["## Checked against", markdown_list(self.details)]
        parts += ["## Versions", markdown_list(self.versions)]
        return "\n\n".join(parts) + "\n"


def versions(*packages: str) -> dict[str, str]:
    """The installed version of care-verl and of each of `packages`."""
    return {package: version(package) for package in ("care-verl", *packages)}


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[Any]], words: int = 1) -> str:
    """A table whose first `words` columns are words, the others numbers."""
    rule = "|" + "---|" * words + "---:|" * (len(heads) - words)
    return "\n".join([_row(heads), rule, *(_row(row) for row in rows)])


def markdown_list(items: Mapping[str, Any]) -> str:
    """The items, one a line."""
    return "\n".join(f"- {name}: {value}" for name, value in items.items())


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
