"""The `care-verl report` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs with records or metrics.jsonl, or such files."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for figures and summary.", show_default="report in the first RUN"
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Label of a RUN, once for each; runs of one label are its seeds."),
    ] = None,
) -> None:
    """Draw the figures of one or more runs and write a one-page summary."""
    from care_verl.records.schema import RecordError
    from care_verl.tools.report.lines import lines_of
    from care_verl.tools.report.runs import ReportError, load_runs
    from care_verl.tools.report.summary import check_line
    from care_verl.tools.report.write import write_report

    console = Console()
    try:
        with console.status("Reading") as status:
            lines = lines_of(load_runs(runs), name or [])
            folder = out or (runs[0] if runs[0].is_dir() else runs[0].parent) / "report"
            written = write_report(lines, folder, lambda title: status.update(f"Drawing: {title}"))
    except (ReportError, RecordError) as error:
        raise typer.BadParameter(str(error)) from error
    table = Table(title="Figures", title_justify="left")
    table.add_column("figure")
    table.add_column("files")
    for title, path in written.figures.items():
        table.add_row(title, f"{path.name}, {path.stem}.svg")
    for title, reasons in written.left_out.items():
        table.add_row(title, escape(f"left out: {'; '.join(reasons)}"))
    console.print(table)
    for line in lines:
        console.print(
            f"K′ check of {line.label}: {check_line(line)}", highlight=False, markup=False
        )
    console.print(f"Summary: {written.summary}", highlight=False, markup=False, soft_wrap=True)
