"""A corpus written before the reader's eyes: a bar with the time left, then the account."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from care_verl.data.corpora.report import Report
from care_verl.data.corpora.units import Units
from care_verl.data.corpora.writer import Job, write_corpus


def write_with_progress(job: Job, units: Units, console: Console) -> Report:
    """`write_corpus` with a bar of source rows, then the table of what was kept and dropped."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    kept_as_is = job.out.exists()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"Preparing {job.out.name}", total=job.total)
        report = write_corpus(job, units, lambda done: progress.update(task, completed=done))
    console.print(report.table())
    if kept_as_is:
        console.print(f"{job.out} was finished before with the same arguments and is kept.")
    else:
        console.print(f"Written: {job.out / f'{job.name}.parquet'}")
    return report
