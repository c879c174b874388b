"""The `care-verl atlas` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def atlas(
    run: Annotated[
        Path, typer.Argument(exists=True, metavar="RUN", help="A run's folder, or its record.")
    ],
    step: Annotated[
        int | None,
        typer.Option(help="This step alone.", show_default="the last; all for a selection"),
    ] = None,
    worst_false_negative: Annotated[
        bool,
        typer.Option(
            "--worst-false-negative",
            help="Groups with answers called wrong that look right, the worst first.",
        ),
    ] = False,
    rescued: Annotated[
        bool, typer.Option("--rescued", help="All-wrong groups that were learned from.")
    ] = False,
    repaired: Annotated[
        bool, typer.Option("--repaired", help="Groups whose reflection succeeded.")
    ] = False,
    search: Annotated[
        str | None, typer.Option(help="Groups with this text in question, gold or a response.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most groups in the page.", min=1)] = 200,
    out: Annotated[
        Path | None, typer.Option(help="The page.", show_default="atlas.html in the run's folder")
    ] = None,
) -> None:
    """Write a page that shows groups of a run: anchor, failures, credit, reflection, reading."""
    from care_verl.records.schema import RecordError
    from care_verl.tools.atlas.wanted_groups import Wanted
    from care_verl.tools.atlas.write import NothingFoundError, write_atlas

    console = Console()
    try:
        wanted = Wanted(step, worst_false_negative, rescued, repaired, search, limit)
        with console.status(f"Reading {run}"):
            written = write_atlas(run, wanted, out)
    except NothingFoundError as nothing:
        console.print(str(nothing), highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from nothing
    except (RecordError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    cut = f" of {written.found} that fit" if written.found > written.shown else ""
    groups = "group" if written.shown == 1 else "groups"
    console.print(
        f"{written.shown} {groups}{cut}: {written.path}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
