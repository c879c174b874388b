"""What the court leaves: two JSON-lines files, a Markdown report, a table for the console."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from rich.table import Table
from rich.text import Text

from care_verl.common.jsonl import Malformed
from care_verl.common.tables import markdown
from care_verl.tools.court.case import BothReadings
from care_verl.tools.court.counts import Count, Counts

DISPUTES, MALFORMED, REPORT = "disputes.jsonl", "malformed.jsonl", "report.md"
_WIDTH = 60
_DOUBTS = 20


def write_line(file: TextIO, item: BothReadings | Malformed) -> None:
    """One line of `disputes.jsonl` or `malformed.jsonl`."""
    fields = asdict(item) if isinstance(item, Malformed) else _fields(item)
    file.write(json.dumps(fields) + "\n")


def write_report(counts: Counts, source: str, folder: Path) -> Path:
    """The Markdown report; returns its path."""
    path = folder / REPORT
    text = "\n".join(_lines(counts, source)) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def disputes_table(counts: Counts) -> Table:
    """The first disputes, one a row."""
    table = Table(
        title=f"First {len(counts.first_disputes)} of {counts.total.disputed} disputes",
        title_justify="left",
    )
    for column in ("where", "answer", "gold", "verifier", "second reading"):
        table.add_column(column, overflow="fold")
    for pair in counts.first_disputes:
        table.add_row(*(Text(cell) for cell in _cells(pair)))
    return table


def summary_line(counts: Counts) -> str:
    """The counts in one line."""
    total = counts.total
    return (
        f"{total.judged} judged, both readings can say {total.both}, disputed {_share(total)} "
        f"(possible false positives {total.false_positives}, negatives {total.false_negatives}); "
        f"second reading cannot say {total.cannot_say}, no answer {total.no_answer}, "
        f"malformed records {counts.malformed}"
    )


def _fields(pair: BothReadings) -> dict[str, object]:
    case, opinion = pair.case, pair.opinion
    return {
        "where": case.where,
        "direction": pair.direction,
        "data_source": case.data_source,
        "form": case.form,
        "answer": pair.first.answer,
        "gold": case.gold,
        "choices": case.choices,
        "verifier": {"acc": pair.first.acc, "rule": pair.first.rule},
        "second": None if opinion is None else asdict(opinion),
    }


def _lines(counts: Counts, source: str) -> Iterable[str]:
    yield from ("# Disputed answers", "", f"Source: `{source}`", "")
    yield "Of the judged answers, those in which both readings can say are the base of the rate;"
    yield "its interval is Wilson's, 95 %."
    yield from ("", *_counts("all", {"all": counts.total}))
    named = {
        f"{source} / {rule}": count for (source, rule), count in sorted(counts.by_rule.items())
    }
    yield from ("", "## By data source and rule", "", *_counts("data source / rule", named))
    if len(counts.by_form) > 1:
        yield from ("", "## By form of the gold", "", *_counts("form", counts.by_form))
    if counts.doubts:
        yield from ("", "## Why the second reading cannot say", "")
        yield from markdown(
            ("reason", "answers"),
            ((reason, str(number)) for reason, number in counts.doubts.most_common(_DOUBTS)),
        )
    if counts.first_disputes:
        shown = len(counts.first_disputes)
        yield from ("", f"## First {shown} of {counts.total.disputed} disputes", "")
        yield from markdown(
            ("where", "answer", "gold", "verifier", "second reading"),
            (_cells(pair) for pair in counts.first_disputes),
        )
    if counts.malformed:
        shown = len(counts.first_malformed)
        yield from ("", f"## First {shown} of {counts.malformed} malformed records", "")
        rows = ((item.where, item.reason) for item in counts.first_malformed)
        yield from markdown(("where", "reason"), rows)


def _counts(heading: str, counts: dict[str, Count]) -> Iterable[str]:
    columns = (
        heading,
        "judged",
        "both can say",
        "disputed",
        "possible false positives",
        "possible false negatives",
        "cannot say",
        "no answer",
    )
    return markdown(
        columns,
        (
            (
                name,
                str(count.judged),
                str(count.both),
                _share(count),
                str(count.false_positives),
                str(count.false_negatives),
                str(count.cannot_say),
                str(count.no_answer),
            )
            for name, count in counts.items()
        ),
    )


def _share(count: Count) -> str:
    if count.rate is None or count.interval is None:
        return "0 of 0"
    low, high = count.interval
    return f"{count.disputed} = {count.rate:.2%} [{low:.2%}, {high:.2%}]"


def _cells(pair: BothReadings) -> tuple[str, ...]:
    opinion = pair.opinion
    return (
        pair.case.where,
        _short(pair.first.answer or ""),
        _short(pair.case.gold),
        f"{'right' if pair.first.acc else 'wrong'} ({pair.first.rule})",
        "" if opinion is None else f"{opinion.judgement} ({opinion.reason})",
    )


def _short(text: str) -> str:
    """One line of printable text."""
    cut = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in cut)
