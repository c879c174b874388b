"""An evaluation as rows of text, and as tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.lines import Gain, Line
from care_verl.tools.evaluation.paper import PaperRow
from care_verl.tools.evaluation.statistics import Difference, Interval

NOTHING = "–"
Rows = list[list[str]]


def percent(interval: Interval) -> str:
    """`62.5 (58.2 to 66.6)`, in per cent; without an interval where there is none."""
    mean = f"{100 * interval.mean:.1f}"
    if math.isnan(interval.low):
        return mean
    return f"{mean} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def points(interval: Interval) -> str:
    """`+3.1 ± 1.2`, in percentage points."""
    mean = f"{100 * interval.mean:+.1f}"
    return mean if math.isnan(interval.half) else f"{mean} ± {100 * interval.half:.1f}"


def heads(line: Line) -> list[str]:
    """The columns: a name, the benchmarks, and the macro average where there is one."""
    return [
        "",
        *(BENCHMARKS[name].title for name in line.benchmarks),
        *(["macro"] if line.averaged else []),
    ]


def accuracy_rows(lines: Sequence[Line]) -> Rows:
    """Ours, in per cent."""
    return [
        [line.name, *(percent(line.accuracy(name)) for name in line.benchmarks), *_macro(line)]
        for line in lines
    ]


def paper_rows(line: Line, paper: Sequence[PaperRow]) -> Rows:
    """The paper's, in per cent, for the benchmarks of a line."""
    rows = []
    for row in paper:
        known = ({name: f"{100 * value:.1f}" for name, value in row.accuracy.items()}).get
        cells = [known(name, NOTHING) for name in line.benchmarks]
        average = [_average(row, line.averaged)] if line.averaged else []
        rows.append([row.name, *cells, *average])
    return rows


def gain_rows(gains: Sequence[Gain]) -> Rows:
    """Paired differences, in percentage points, with how many questions were won and lost."""
    return [
        [
            f"{gain.label} – {gain.over}",
            *(_won(difference) for difference in gain.benchmarks.values()),
            *([points(gain.macro)] if gain.macro else []),
        ]
        for gain in gains
    ]


def tables(
    lines: Sequence[Line], gains: Sequence[Gain], paper: Sequence[PaperRow]
) -> Iterator[Table]:
    """For the terminal: a row for each benchmark, so that six of them fit."""
    first = lines[0]
    yield _table("Accuracy, %", heads(first), accuracy_rows(lines))
    if gains:
        yield _table("Difference, percentage points", heads(first), gain_rows(gains))
    for number in sorted({row.table for row in paper if first.averaged}):
        rows = paper_rows(first, [row for row in paper if row.table == number])
        yield _table(f"The paper's Table {number}, %", heads(first), rows)


def _macro(line: Line) -> list[str]:
    macro = line.macro()
    return [percent(macro)] if macro else []


def _average(row: PaperRow, names: Sequence[str]) -> str:
    """The paper's own average is of its six benchmarks: it stands beside ours of the same."""
    same = row.average is not None and set(names) == set(row.accuracy)
    return f"{100 * (row.average or 0.0):.2f}" if same else NOTHING


def _won(difference: Difference) -> str:
    return f"{points(difference.interval)} (+{difference.better} −{difference.worse})"


def _table(name: str, columns: Sequence[str], rows: Rows) -> Table:
    """The rows as columns."""
    table = Table(title=name, title_justify="left")
    table.add_column("", no_wrap=True)
    for row in rows:
        table.add_column(escape(row[0]), justify="right", overflow="fold")
    for place, column in enumerate(columns[1:], start=1):
        table.add_row(column, *(escape(row[place]) for row in rows))
    return table
