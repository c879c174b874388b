"""The `care-verl court` command."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

# Malformed records on the console; the report has more, the file beside it all.
_SHOWN = 3


def court(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            help="A prepared Parquet file, a dump of a run, or a folder of either.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report and the disputes.")] = Path(
        "outputs/court"
    ),
    response_key: Annotated[
        str | None, typer.Option(help="Key of the response. [default: output, for JSON lines]")
    ] = None,
    gold_key: Annotated[
        str | None,
        typer.Option(help="Key of the gold. [default: gts, or reward_model.ground_truth]"),
    ] = None,
    data_source: Annotated[
        str | None, typer.Option(help="Data source of all records; a dump does not name it.")
    ] = None,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Take acc, pred and rule from the file.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Read only so many records.", min=1)] = None,
    think_tag: Annotated[str, typer.Option(help="Tag of the rationale.")] = "think",
    answer_tag: Annotated[str, typer.Option(help="Tag of the answer.")] = "answer",
    prefilled: Annotated[
        bool, typer.Option("--prefilled", help="Responses begin inside the rationale.")
    ] = False,
    fail_above: Annotated[
        float | None,
        typer.Option(help="Exit with 1 when the disputed share is larger.", min=0.0, max=1.0),
    ] = None,
) -> None:
    """List the answers on which a second reading disagrees with the verifier."""
    from care_verl.tools.court import inputs, report
    from care_verl.tools.court.case import TagNames
    from care_verl.tools.court.disputes import find_disputes, readings_of

    console = Console()
    keys = {"response": response_key, "gold": gold_key, "data_source": data_source}
    given = {name: key for name, key in keys.items() if key is not None}
    try:
        found = inputs.cases(file, given, recorded)
        readings = readings_of(TagNames(think_tag, answer_tag, prefilled), recorded)
        with console.status(f"Reading {file}"):
            counts = find_disputes(islice(found, limit), readings, out)
    except inputs.InputError as error:
        raise typer.BadParameter(str(error)) from error
    if counts.first_disputes:
        console.print(report.disputes_table(counts))
    console.print(report.summary_line(counts), highlight=False)
    for item in counts.first_malformed[:_SHOWN]:
        console.print(f"{item.where}: {item.reason}", highlight=False, markup=False)
    console.print(f"Report: {report.write_report(counts, str(file), out)}", highlight=False)
    if fail_above is not None and (counts.total.rate is None or counts.total.rate > fail_above):
        raise typer.Exit(1)
