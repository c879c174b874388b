"""The most telling groups of a recorded step, as a table in the run's trackers.

verl logs validation samples only (`ValidationGenerationsLogger`). Here it is training rows, as the
record has them: W&B gets a table, TensorBoard a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from verl.utils.tracking import Tracking

from care_verl.common.tables import markdown
from care_verl.methods import METHODS, Row, Sample, method_of_row

NAME = "care/samples"
_NUMBERS = dict(m.sample_column for m in METHODS.values() if m.sample_column)
"""Columns of the record by heading: what rows that are shown together are compared by."""

COLUMNS = (
    *("step", "shows", "group", "question", "gold", "role", "response", "acc", "A"),
    *_NUMBERS,
)
SHOWS = tuple(dict.fromkeys(shows for method in METHODS.values() for shows in method.shows))
"""What a group is shown for, in the order in which the kinds take turns."""

_MOST_LETTERS = 2000
_ENTITIES = {ord(sign): f"&#{ord(sign)};" for sign in "&<>|`*_[]~\\"}


def log_samples(tracking: Tracking, rows: Sequence[Row], step: int, groups: int) -> None:
    """Log at most `groups` groups of `rows`, which have the columns of `care_verl.records`.

    Other trackers have no table and get nothing.
    """
    samples = list(samples_of(rows, step, groups)) if groups else []
    if not samples:
        return
    if "wandb" in tracking.logger:
        import wandb

        table = wandb.Table(columns=list(COLUMNS), data=samples)
        tracking.logger["wandb"].log({NAME: table}, step=step)
    if "tensorboard" in tracking.logger:
        tracking.logger["tensorboard"].writer.add_text(NAME, _markdown(samples), step)


def samples_of(rows: Sequence[Row], step: int, groups: int) -> Iterator[list[Any]]:
    """The table's rows, in the order of `COLUMNS`.

    The kinds of `SHOWS` take turns, each with its groups of smallest distance between the rows
    that are shown.
    """
    by_kind: dict[str, list[Sample]] = {name: [] for name in SHOWS}
    for group in _groups(rows).values():
        sample = _sample(group)
        if sample is not None:
            by_kind[sample.shows].append(sample)
    for chosen in by_kind.values():
        chosen.sort(key=lambda sample: sample.distance)
    turns = zip_longest(*by_kind.values())
    taken = [sample for turn in turns for sample in turn if sample is not None][:groups]
    heads = {row["uid"]: row for row in rows if row.get("question") is not None}
    for sample in taken:
        for row in sample.rows:
            yield _cells(step, sample.shows, row, heads.get(row["uid"], {}))


def _groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["uid"], []).append(row)
    return groups


def _sample(group: Sequence[Row]) -> Sample | None:
    method = method_of_row(group[0])
    return None if method is None else method.sample(group)


def _cells(step: int, name: str, row: Row, head: Row) -> list[Any]:
    method = method_of_row(row)
    return [
        step,
        name,
        row["uid"],
        _short(head.get("question")),
        _short(head.get("gold")),
        "" if method is None else method.role_of(row),
        _short(row["response"]),
        float(row["acc"]),
        float(row["advantage"]),
        *(None if row[name] is None else float(row[name]) for name in _NUMBERS.values()),
    ]


def _short(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]} …"


def _markdown(samples: list[list[Any]]) -> str:
    """A table of which no cell can end the row, or be taken for HTML or Markdown."""
    return "\n".join(markdown(COLUMNS, ([_cell(value) for value in row] for row in samples)))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return "<br>".join(str(value).translate(_ENTITIES).splitlines())
