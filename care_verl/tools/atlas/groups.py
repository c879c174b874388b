"""The rows of one prompt, and the parts they play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from care_verl.methods import Method, Number, method_of_row

Row = Mapping[str, Any]
"""One row of a step's file, by the columns of `care_verl.records.schema.ROW`."""

_PROMPT = ("question", "gold", "images")


@dataclass(frozen=True)
class Group:
    """All rows of one prompt in one step, in the order of their sessions."""

    uid: str
    step: int
    rows: tuple[Row, ...]

    @cached_property
    def prompt(self) -> dict[str, Any]:
        """`question`, `gold` and `images`, which stand in one row only; None where in none."""
        told = next((row for row in self.rows if row["question"] is not None), self.rows[0])
        return {name: told[name] for name in _PROMPT}

    @property
    def kind(self) -> str:
        """mixed, all_wrong or all_right."""
        return str(self.rows[0]["kind"])

    @property
    def has_roles(self) -> bool:
        """Whether its rows are anchor and negatives; those of other methods than CARE are not."""
        return self.rows[0]["role"] is not None

    @cached_property
    def method(self) -> Method | None:
        """What made it; None where its method is not installed."""
        return method_of_row(self.rows[0])

    @property
    def numbers(self) -> tuple[Number, ...]:
        """What is shown of each row without a role."""
        return () if self.method is None or self.has_roles else self.method.numbers

    @property
    def k_prime(self) -> int | None:
        """None without roles."""
        value: int | None = self.rows[0]["k_prime"]
        return value

    @property
    def k_s(self) -> int | None:
        """None without roles."""
        value: int | None = self.rows[0]["k_s"]
        return value

    @property
    def skipped(self) -> bool:
        """Nothing is learned from the group."""
        return self.k_s == 0 if self.has_roles else not any(r["advantage"] for r in self.rows)

    @property
    def rescued(self) -> bool:
        """All originals are wrong, and CARE learns from the group all the same (Section 3.7)."""
        return self.kind == "all_wrong" and self.has_roles and not self.skipped

    @property
    def repaired(self) -> bool:
        """Its reflection succeeded."""
        return self.rgr == "succeeded"

    @property
    def rgr(self) -> str:
        """Outcome of the reflection: succeeded, failed, skipped; none where none was due."""
        return next((str(row["rgr_outcome"]) for row in self.rows if row["rgr_outcome"]), "none")

    @cached_property
    def anchor(self) -> Row | None:
        """What the others are compared with.

        In a mixed group that is skipped, because its only negative was repaired, no row has the
        role: there it is the right original at the smallest distance, which is the anchor's own.
        """
        for row in self.rows:
            if row["role"] == "anchor":
                return row
        right = [row for row in self.originals if row["acc"] == 1 and row["d_cos"] is not None]
        if self.kind != "mixed" or not right:
            return None
        return min(right, key=lambda row: float(row["d_cos"]))

    @property
    def originals(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not is_reflection(row))

    @property
    def reflections(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if is_reflection(row))

    @property
    def compared(self) -> tuple[Row, ...]:
        """The hard negatives by d_cos, then reflections; the source of one is among them always.

        Without roles all rows, in the order of their method.
        """
        if not self.has_roles:
            order = None if self.method is None else self.method.order
            return self.rows if order is None else tuple(sorted(self.rows, key=order))
        hard = [row for row in self.originals if row["role"] == "negative" or row["is_source"]]
        hard = [row for row in hard if row is not self.anchor]
        return (*sorted(hard, key=_distance), *self.reflections)

    @property
    def others(self) -> tuple[Row, ...]:
        """The rows that are neither the anchor nor compared with it: they are not updated."""
        shown = {id(row) for row in self.compared} | {id(self.anchor)}
        return tuple(row for row in self.rows if id(row) not in shown)


def is_reflection(row: Row) -> bool:
    return int(row["reflected_from"]) >= 0


def _distance(row: Row) -> float:
    return float("inf") if row["d_cos"] is None else float(row["d_cos"])
