"""The `care-verl replay` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

# Left-out rows on the console; the report has more, the JSON all.
_SHOWN = 5


def replay(
    path: Annotated[
        Path,
        typer.Argument(
            exists=True,
            metavar="FILE|FOLDER",
            help="A run with records, or a dump of verl, TRL or ms-swift.",
        ),
    ],
    form: Annotated[
        str,
        typer.Option("--format", help="auto, care, verl, trl or swift.", metavar="NAME"),
    ] = "auto",
    acc_column: Annotated[
        str | None, typer.Option(help="Column of the accuracy, 1 where the response is right.")
    ] = None,
    gold_column: Annotated[
        str | None, typer.Option(help="Column of the gold answer; the verifier judges.")
    ] = None,
    reward_column: Annotated[
        list[str] | None,
        typer.Option(help="Column of a reward; several are added up.", show_default="the format's"),
    ] = None,
    think_tag: Annotated[str, typer.Option(help="Tag of the rationale.")] = "think",
    answer_tag: Annotated[str, typer.Option(help="Tag of the answer.")] = "answer",
    prefilled: Annotated[
        bool, typer.Option("--prefilled", help="Responses begin inside the rationale.")
    ] = False,
    k: Annotated[
        int | None, typer.Option("--K", help="CARE's K.", show_default="the run's")
    ] = None,
    m: Annotated[
        int | None, typer.Option("--M", help="CARE's M.", show_default="the run's")
    ] = None,
    s: Annotated[
        float | None, typer.Option("--s", help="CARE's s.", show_default="the run's")
    ] = None,
    equalize: Annotated[
        bool | None, typer.Option("--equalize/--no-equalize", show_default="the run's")
    ] = None,
    rescue: Annotated[
        bool | None, typer.Option("--rescue/--no-rescue", show_default="the run's")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for table and figure.")] = Path(
        "outputs/replay"
    ),
) -> None:
    """Compute what GRPO, DAPO, GRPO-CARE and CARE make of the same rollouts."""
    from care_verl.common.jsonl import Malformed
    from care_verl.grammar import TagSpec
    from care_verl.tools.replay import figure, report
    from care_verl.tools.replay.comparison import Changes, compare
    from care_verl.tools.replay.readers import FORMATS, read
    from care_verl.tools.replay.rollouts import Reading

    if form not in ("auto", *FORMATS):
        raise typer.BadParameter(f"{form!r} is none of auto, {', '.join(FORMATS)}")
    console = Console()

    def show(malformed: list[Malformed]) -> None:
        if malformed:
            console.print(f"Left out: {len(malformed)}", highlight=False)
        for item in malformed[:_SHOWN]:
            console.print(
                f"  {item.where}: {item.reason}", highlight=False, markup=False, soft_wrap=True
            )

    try:
        tags = TagSpec(think_tag, answer_tag)
        changes = Changes(k, m, s, equalize, rescue)
        reading = Reading(acc_column, gold_column, tuple(reward_column or ()), tags, prefilled)
        with console.status(f"Reading {path}"):
            dump = read(path, form, reading)
        if not dump.rollouts:
            show(dump.malformed)
            console.print(f"Nothing usable in {path}.", highlight=False, soft_wrap=True)
            raise typer.Exit(1)
        comparison = compare(dump, changes)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console.print(report.table(comparison))
    for note in report.notes(dump, comparison):
        console.print(note, highlight=False, markup=False)
    show(dump.malformed)
    out.mkdir(parents=True, exist_ok=True)
    drawn = figure.write(comparison, out)
    written = [*report.write_report(out, path, dump, comparison, drawn[0].name), *drawn]
    console.print(f"Written: {', '.join(map(str, written))}", highlight=False, soft_wrap=True)
