"""What the tools ask of a method. Without it each of them would know all methods by name.

Reading a record must not import torch, so nothing here does; what a run needs is in the module
that `Method.wiring` names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
"""A recorded row, by the columns of its file."""


@dataclass(frozen=True)
class Column:
    """A column of the record.

    type: a key of `care_verl.records.schema.TYPES`. meaning: one line. null: rows may lack it, as
    those of other methods do.
    """

    name: str
    type: str
    meaning: str
    null: bool = True


@dataclass(frozen=True)
class Curve:
    """A metric over steps. unit: the label of its axis; share: it lies in [0, 1]."""

    title: str
    unit: str
    metric: str
    share: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure of `care-verl report`: curves side by side. name: of its files."""

    name: str
    title: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Number:
    """A column that is shown with each row. heading: a short name; meaning: in a few words."""

    heading: str
    column: str
    meaning: str
    signed: bool = False


@dataclass(frozen=True)
class Sample:
    """Rows of a group that are worth showing. shows: for what, one of `Method.shows`.

    Of those that show the same, the one with the smallest `distance` comes first.
    """

    shows: str
    rows: tuple[Row, ...]
    distance: float = 0.0


def _update_or_not(row: Row) -> str:
    return "updated" if row["advantage"] else "outside"


def _largest_advantage(row: Row) -> tuple[float, ...]:
    return (-float(row["advantage"]),)


def _nothing(row: Row) -> str:
    return ""


def _extremes(group: Sequence[Row]) -> Sample | None:
    ordered = sorted(group, key=_largest_advantage)
    if not ordered[0]["advantage"]:
        return None
    return Sample("extremes", (ordered[0], ordered[-1]))


@dataclass(frozen=True, kw_only=True)
class Method:
    """One estimator.

    name: the value of `algorithm.adv_estimator`, the section `algorithm.NAME` with its settings,
        and what its metrics begin with; `NAME/acc/mean` is the accuracy of its rollouts.
    title: in messages and reports.
    graded: its accuracies may lie between 0 and 1.
    wiring: the module whose `WIRING` is a `care_verl.training.wiring.Wiring`.
    columns: what only its rows have in a record; marker: the one of them that is never null.
    label: settings that a report's label shows always, not only where runs differ in them.
    figures: of a report; averages: rows of its table, a name and the metric whose mean over steps
        it is.
    part_of: a row's part, a key of `parts`, which says it in words; note_on: what else there is to
        say of it; order: sorts a group's rows. numbers: of a row, beside its advantage.
    role_of: a row's part in the trackers' table.
    sample: what of a group goes to the trackers; shows: its kinds, in the order they take turns.
    sample_column: heading and column of the number that compares the rows of a sample.
    """

    name: str
    title: str
    wiring: str
    columns: tuple[Column, ...]
    marker: str
    graded: bool = False
    label: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    averages: tuple[tuple[str, str], ...] = ()
    parts: Mapping[str, str] = field(
        default_factory=lambda: {"updated": "Updated", "outside": "Not updated"}
    )
    part_of: Callable[[Row], str] = _update_or_not
    numbers: tuple[Number, ...] = ()
    note_on: Callable[[Row], str] = _nothing
    order: Callable[[Row], tuple[float, ...]] = _largest_advantage
    role_of: Callable[[Row], str] = _update_or_not
    sample: Callable[[Sequence[Row]], Sample | None] = _extremes
    shows: tuple[str, ...] = ("extremes",)
    sample_column: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.marker not in [column.name for column in self.columns]:
            names = ", ".join(column.name for column in self.columns)
            raise ValueError(
                f"method {self.name!r}: marker = {self.marker!r}; expected one of its columns: "
                f"{names}"
            )
