"""What an evaluation leaves behind: `results.json`, `results.md` and a figure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from care_verl.common.files import write_text
from care_verl.tools.evaluation import table
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.lines import Line
from care_verl.tools.evaluation.report import Report, to_json

JSON = "results.json"
PAGE = "results.md"
FIGURE = "results"


def write(report: Report, folder: Path) -> list[Path]:
    """Write everything into `folder`; the paths."""
    from care_verl.tools.evaluation.figure import draw

    write_text(folder / JSON, json.dumps(to_json(report), indent=1, ensure_ascii=False) + "\n")
    figures = draw(report.lines, report.paper, folder, FIGURE)
    write_text(folder / PAGE, page(report, f"{FIGURE}.png", f"{FIGURE}.svg"))
    return [folder / JSON, folder / PAGE, *figures]


def page(report: Report, png: str, svg: str) -> str:
    """The page, in Markdown."""
    lines, columns = report.lines, table.heads(report.lines[0])
    rows = [*table.accuracy_rows(lines), *_marked(report)]
    parts = ["# Evaluation", "", *_markdown(columns, rows), ""]
    parts += [
        "Accuracy in %, with 95 % intervals: Wilson's over questions, Student's t over seeds."
    ]
    if report.gains:
        parts += ["", "## Differences", "", *_markdown(columns, table.gain_rows(report.gains)), ""]
        parts += [
            "In percentage points, each question with itself; ± half of the 95 % interval over "
            "questions (+ questions won, − lost). It says what the same models would do on other "
            "questions, not what models of other seeds would."
        ]
    parts += ["", f"[![Accuracy]({png})]({svg})", "", "## How", ""]
    parts += [f"- {key}: {_value(own)}" for key, own in report.settings.items() if own]
    parts += [f"- {line.label}: {_models(line)}" for line in lines]
    parts += [f"- Note: {note}" for note in report.notes]
    return "\n".join([*parts, *_formats(lines)]) + "\n"


def _formats(lines: Sequence[Line]) -> Iterator[str]:
    names = lines[0].benchmarks
    yield from ("", "## Well-formed answers, %", "")
    rows = [
        [line.name, *(table.percent(line.well_formed(name)) for name in names)] for line in lines
    ]
    yield from _markdown(["", *(BENCHMARKS[name].title for name in names)], rows)


def _marked(report: Report) -> Iterator[list[str]]:
    rows = table.paper_rows(report.lines[0], report.paper)
    for row, (name, *cells) in zip(report.paper, rows, strict=True):
        yield [f"paper, Table {row.table}: {name}", *cells]


def _markdown(columns: Sequence[str], rows: table.Rows) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|---|{'---|' * (len(columns) - 1)}"
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |"


def _models(line: Line) -> str:
    return ", ".join(f"`{seed.model.source}`" for seed in line.seeds)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {own}" for key, own in value.items())
    return str(value)
