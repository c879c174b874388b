"""The `care-verl` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from care_verl.data import commands as data
from care_verl.tools.atlas.command import atlas
from care_verl.tools.certificate.command import certificate
from care_verl.tools.court.command import court
from care_verl.tools.doctor.command import doctor
from care_verl.tools.evaluation.command import evaluate
from care_verl.tools.recipes import command as recipes
from care_verl.tools.replay.command import replay
from care_verl.tools.report.command import report

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="CARE for verl: learning from failures."
)
app.add_typer(data.app, name="data")
app.add_typer(recipes.app, name="recipes")


@app.callback()
def main() -> None:
    """CARE for verl: learning from failures."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for data, checkpoints and logs.")] = Path(
        "outputs/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of model, data and sampling.")] = 0,
    steps: Annotated[int, typer.Option(help="Training steps.", min=1)] = 40,
    estimator: Annotated[
        str, typer.Option(help="Advantage estimator: care, or a baseline such as grpo.")
    ] = "care",
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Further Hydra overrides for verl.")
    ] = None,
) -> None:
    """Cold-start a tiny vision-language model and train it with CARE through verl, on CPU."""
    from care_verl.tools.demo.run import run_demo

    console = Console()
    summary = run_demo(out, seed, steps, estimator, overrides or [], console)
    for table in summary.tables():
        console.print(table)


app.command()(atlas)
app.command()(certificate)
app.command()(court)
app.command()(doctor)
app.command()(evaluate)
app.command()(replay)
app.command()(report)
