"""What is seen while an evaluation goes on: questions answered, of all, and the time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Display:
    """One bar over the questions of all cells, with what is done at the moment beside it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._before = 0

    def expect(self, questions: int) -> None:
        """So many questions are to be answered in all."""
        self._progress.update(self._task, total=questions)

    def say(self, what: str) -> None:
        """What is done now."""
        self._progress.update(self._task, description=what)

    def answered(self, questions: int) -> None:
        """So many of the present cell's questions have a response."""
        self._progress.update(self._task, completed=self._before + questions)

    def finished(self, questions: int) -> None:
        """The present cell is done."""
        self._before += questions
        self.answered(0)


@contextmanager
def shown(console: Console) -> Iterator[Display]:
    """A display on `console`."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        # Over minutes: a model is loaded now and then.
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, speed_estimate_period=300) as progress:
        yield Display(progress, progress.add_task("Starting", total=None))
