"""Which rows of a captured step the certificate is made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from care_verl.training.care.capture_file import CapturedRow


@dataclass(frozen=True)
class ChosenRows:
    """Rows of S*, and rows of the same step that were dropped."""

    trained: list[CapturedRow]
    dropped: list[CapturedRow]


def counts(rows: Sequence[CapturedRow]) -> dict[str, int]:
    """How many of each kind there are among rows of one step."""
    members = [row for row in rows if row.in_s_star]
    reflections = [row for row in members if row.reflected_from >= 0]
    return {
        "rows of S*": len(members),
        "dropped rows": len(rows) - len(members),
        "mixed groups": len({row.uid for row in members if row.kind == "mixed"}),
        "rescued groups": len({row.uid for row in members if row.kind == "all_wrong"}),
        "successful reflections": sum(row.acc == 1 for row in reflections),
        "failed reflections": sum(row.acc != 1 for row in reflections),
    }


def choose(rows: Sequence[CapturedRow], limit: int) -> ChosenRows:
    """At most `limit` rows of S*, every kind of row in turn, and all dropped rows.

    Their number is an odd multiple of 3, so that micro-batches of 3 come out even on one rank and
    do not on two. Raises ValueError where S* has fewer than 3 rows.
    """
    members = [row for row in rows if row.in_s_star]
    count = min(limit, len(members))
    count -= (count - 3) % 6
    if count < 3:
        raise ValueError(
            f"S* of the captured step has {len(members)} rows, of which at most {limit} may be "
            "taken; a certificate needs 3 at least: capture another step or raise the limit"
        )
    kinds: dict[tuple[bool, str, str, float], list[CapturedRow]] = {}
    for row in members:
        kind = (row.reflected_from < 0, row.kind, row.role, row.acc)
        kinds.setdefault(kind, []).append(row)
    in_turn = chain.from_iterable(zip_longest(*(kinds[kind] for kind in sorted(kinds))))
    trained = [row for row in in_turn if row is not None][:count]
    return ChosenRows(trained, [row for row in rows if not row.in_s_star])
