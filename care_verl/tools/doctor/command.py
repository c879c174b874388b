"""The `care-verl doctor` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from care_verl.tools.doctor.finding import Finding

_GIB = 2**30


def doctor(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="The run's Hydra overrides, as main_ppo takes them.")
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Show the resolved configuration.")] = False,
    rows: Annotated[
        int, typer.Option(help="Rows of each data file that are looked at.", min=1)
    ] = 64,
    gpu_memory: Annotated[
        float | None,
        typer.Option(help="GiB of the GPUs that the run will have, where they are not here."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster whose nodes are asked too.")
    ] = None,
    dry_run: Annotated[
        Path | None,
        typer.Option(help="Folder for the resolved configuration and the batch script."),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Nodes of the run: trainer.nnodes.", min=1)
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Explain the log of a run that ended; no run is looked at.", exists=True),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the findings as JSON.")
    ] = None,
) -> None:
    """Look at a run before it starts, or at the log of one that ended. Starts nothing.

    Exits with 1 when there is an error.
    """
    from care_verl.tools.doctor import report

    console = Console()
    if log is not None:
        findings = _of_log(log)
    else:
        wanted = [*(overrides or []), *([f"trainer.nnodes={nodes}"] if nodes else [])]
        findings = _of_run(console, wanted, rows, gpu_memory, cluster, dry_run, show)
    console.print(report.table_of(findings))
    console.print(report.summary(findings), highlight=False)
    if json_file is not None:
        report.write_json(findings, json_file)
    if report.has_errors(findings):
        raise typer.Exit(1)


def _of_log(log: Path) -> list[Finding]:
    from care_verl.tools.doctor.diagnosis import findings_of, read_log

    return findings_of(read_log(log))


def _of_run(
    console: Console,
    overrides: list[str],
    rows: int,
    gpu_memory: float | None,
    cluster: str | None,
    dry_run: Path | None,
    show: bool,
) -> list[Finding]:
    from omegaconf import OmegaConf

    from care_verl.tools.doctor.dry_run import write_plan
    from care_verl.tools.doctor.examination import Wishes, examine

    wishes = Wishes(rows, None if gpu_memory is None else gpu_memory * _GIB, cluster)
    with console.status("Looking") as status:
        found = examine(overrides, wishes, lambda what: status.update(f"Looking at: {what}"))
    if found.config is None:
        return found.findings
    if show:
        console.print(OmegaConf.to_yaml(found.config, resolve=True), highlight=False, markup=False)
    planned = [] if dry_run is None else write_plan(dry_run, found.config, overrides)
    return [*found.findings, *planned]
