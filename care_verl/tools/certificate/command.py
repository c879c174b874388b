"""The `care-verl certificate` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def certificate(
    capture: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            help="A captured step, or a folder with one.",
            show_default="a new one of the embedded task",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="Folder of the policy that made the rollouts.",
            show_default="the run's model path",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and the logs.")] = Path(
        "outputs/certificate"
    ),
    rows: Annotated[int, typer.Option(help="Rows of S* to take at most.", min=3)] = 33,
) -> None:
    """Compute one update cut in every way, and compare it with a plain reference."""
    from care_verl.tools.certificate import report
    from care_verl.tools.certificate.certify import LOGS, certify
    from care_verl.tools.certificate.embedded import embedded_capture

    console = Console()
    out = out.resolve()
    if capture is None:
        with console.status("Cold start and one step of the embedded task"):
            capture = embedded_capture(out / "embedded")
    try:
        with console.status("Reference and cuts"):
            made = certify(_one_capture(capture), out, rows, model)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for name, value in report.header(made):
        console.print(f"{name}: {value}", highlight=False, soft_wrap=True)
    for table in report.tables(made):
        console.print(table)
    for line in report.summary(made):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    written = ", ".join(str(path) for path in report.write_report(made, out))
    console.print(f"Written: {written}; logs in {out / LOGS}", highlight=False, soft_wrap=True)
    if made.breaches:
        raise typer.Exit(1)


def _one_capture(path: Path) -> Path:
    if path.is_file():
        return path.resolve()
    found = sorted(path.glob("*.safetensors"))
    if len(found) != 1:
        raise ValueError(
            f"{path} holds {len(found)} captures; expected one: name the file, or capture a step "
            "with ++algorithm.care.capture.step=N ++algorithm.care.capture.folder=FOLDER"
        )
    return found[0].resolve()
