"""An evaluation as tables: for the terminal, and as a page in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from care_verl.common.tables import markdown
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.lines import Gain, Line, disagreements
from care_verl.tools.evaluation.paper import PaperRow
from care_verl.tools.evaluation.statistics import Difference, Interval

if TYPE_CHECKING:
    from care_verl.tools.evaluation.report import Report

NOTHING = "–"
_LISTED = 200
_LETTERS = 80
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
    return ["", *(title(name) for name in line.benchmarks), *(["macro"] if line.averaged else [])]


def title(benchmark: str) -> str:
    """What a benchmark is called in the paper, or here."""
    return BENCHMARKS[benchmark].paper or benchmark


def accuracy_rows(lines: Sequence[Line]) -> Rows:
    """Ours, in per cent."""
    return [
        [_name(line), *(percent(line.accuracy(name)) for name in line.benchmarks), *_macro(line)]
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


def tables(report: Report) -> Iterator[Table]:
    """For the terminal: a row for each benchmark, so that six of them fit."""
    first = report.lines[0]
    yield _table("Accuracy, %", heads(first), accuracy_rows(report.lines))
    if report.gains:
        yield _table("Difference, percentage points", heads(first), gain_rows(report.gains))
    for number in sorted({row.table for row in report.paper if first.averaged}):
        rows = paper_rows(first, [row for row in report.paper if row.table == number])
        yield _table(f"The paper's Table {number}, %", heads(first), rows)


def page(report: Report, png: str, svg: str) -> str:
    """The page, in Markdown."""
    lines, columns = report.lines, heads(report.lines[0])
    rows = [*accuracy_rows(lines), *_marked(report)]
    parts = ["# Evaluation", "", *markdown(columns, rows), ""]
    parts += [
        "Accuracy in %, with 95 % intervals: Wilson's over questions, Student's t over seeds."
    ]
    if report.gains:
        parts += ["", "## Differences", "", *markdown(columns, gain_rows(report.gains)), ""]
        parts += [
            "In percentage points, each question with itself; ± half of the 95 % interval over "
            "questions (+ questions won, − lost). It says what the same models would do on other "
            "questions, not what models of other seeds would."
        ]
    parts += ["", f"[![Accuracy]({png})]({svg})", "", "## How", ""]
    parts += [f"- {key}: {_value(own)}" for key, own in report.settings.items() if own]
    parts += [f"- {line.label}: {_models(line)}" for line in lines]
    parts += [f"- Note: {note}" for note in report.notes]
    return "\n".join([*parts, *_formats(lines), *_disagreements(lines)]) + "\n"


def _formats(lines: Sequence[Line]) -> Iterator[str]:
    names = lines[0].benchmarks
    yield from ("", "## Well-formed answers, %", "")
    rows = [[_name(line), *(percent(line.well_formed(name)) for name in names)] for line in lines]
    yield from markdown(["", *(title(name) for name in names)], rows)


def _disagreements(lines: Sequence[Line]) -> Iterator[str]:
    scored = [
        answer
        for line in lines
        for seed in line.seeds
        for answers in seed.answers.values()
        for answer in answers
        if answer.upstream is not None
    ]
    if not scored:
        return
    found = [(line.label, answer) for line in lines for _, answer in disagreements(line)]
    yield from ("", "## Where LMMs-Eval's own score differs", "")
    yield f"{len(found)} of {len(scored)} answers. All of them are in `results.json`."
    if not found:
        return
    yield ""
    columns = ["model", "benchmark", "question", "gold", "answer", "rule", "ours", "LMMs-Eval"]
    rows = [
        [
            *(label, answer.benchmark, answer.doc_id, _short(answer.gold), _short(answer.answer)),
            *(answer.rule, f"{answer.acc:g}", f"{answer.upstream:g}"),
        ]
        for label, answer in found[:_LISTED]
    ]
    yield from markdown(columns, rows)


def _name(line: Line) -> str:
    return line.label if len(line.seeds) == 1 else f"{line.label} ({len(line.seeds)} seeds)"


def _macro(line: Line) -> list[str]:
    macro = line.macro()
    return [percent(macro)] if macro else []


def _average(row: PaperRow, names: Sequence[str]) -> str:
    """The paper's own average is of its six benchmarks: it stands beside ours of the same."""
    same = row.average is not None and set(names) == set(row.accuracy)
    return f"{100 * (row.average or 0.0):.2f}" if same else NOTHING


def _marked(report: Report) -> Iterator[list[str]]:
    rows = paper_rows(report.lines[0], report.paper)
    for row, (name, *cells) in zip(report.paper, rows, strict=True):
        yield [f"paper, Table {row.table}: {name}", *cells]


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


def _models(line: Line) -> str:
    return ", ".join(f"`{seed.model.source}`" for seed in line.seeds)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {own}" for key, own in value.items())
    return str(value)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LETTERS else f"{line[:_LETTERS]}…"
