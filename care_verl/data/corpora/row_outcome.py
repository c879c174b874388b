"""What becomes of one row of a source: it is kept, or dropped for a reason that is counted."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kept:
    """A row to be written.

    row: its columns, as the schema of the output wants them.
    notes: what was done to it, each in words that are counted in the report (`image re-encoded`).
    """

    row: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dropped:
    """A row that is left out.

    source_id: how the source names the row.
    reason: few words, the same for every row of the kind: the report counts by them.
    detail: what was found in this row.
    """

    source_id: str
    reason: str
    detail: str = ""


Unit = Kept | Dropped
