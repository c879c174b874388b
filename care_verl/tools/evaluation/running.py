"""Asking a model the questions of a benchmark: what has to run for it, and LMMs-Eval itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from care_verl.common.children import run
from care_verl.tools.evaluation import backends, lmms
from care_verl.tools.evaluation.answers import Answer
from care_verl.tools.evaluation.cells import Cell
from care_verl.tools.evaluation.checkpoint import Model, merged
from care_verl.tools.evaluation.choices import Backend
from care_verl.tools.evaluation.display import Display
from care_verl.tools.evaluation.request import Request
from care_verl.tools.evaluation.server import Server, running_server, started_server

LOGS = "logs"
_ASK_SERVER_EVERY = 10.0


@dataclass(frozen=True)
class Job:
    """A model and its cells, one for each benchmark."""

    model: Model
    label: str
    prefilled: bool
    cells: list[Cell]

    def log(self, out: Path, what: str) -> Path:
        """A log of this model's; models of one label have logs of their own."""
        return out / LOGS / f"{self.cells[0].folder.parent.name}-{what}.log"


@contextmanager
def prepared(request: Request, job: Job, display: Display) -> Iterator[Runner]:
    """A model that can be asked: merged, and behind a server where the backend wants one."""
    if request.base_url is not None:
        server = running_server(request.base_url, job.model.source)
        server.require_room(request.decoding.max_new_tokens)
        yield Runner(request, job, server.model, server, display)
        return
    log = job.log(request.out, "merge")
    model = merged(job.model, log, lambda: display.say(f"{job.label}: merging"))
    if request.backend is not Backend.OPENAI:
        yield Runner(request, job, model.path, None, display)
        return
    display.say(f"{job.label}: starting vllm serve")
    options = backends.server_options(request.options)
    with started_server(model.path, options, job.log(request.out, "server")) as server:
        server.require_room(request.decoding.max_new_tokens)
        yield Runner(request, job, server.model, server, display)


@dataclass(frozen=True)
class Runner:
    """Runs LMMs-Eval for the cells of a model."""

    request: Request
    job: Job
    model: str
    server: Server | None
    display: Display

    def run(self, cell: Cell, raw: Path) -> list[Answer]:
        """The answers to one benchmark, all of them."""
        request, task = self.request, cell.benchmark.task
        log = self.job.log(request.out, task)
        options = {} if request.backend is Backend.OPENAI else request.options
        model = backends.model_arguments(
            request.backend,
            self.model,
            request.decoding,
            options,
            self.server.base_url if self.server else None,
        )
        launcher = backends.launcher(request.backend)
        command = lmms.command(launcher, task, model, request.decoding, raw, request.limit)
        environment = {
            **backends.environment(request.backend, self.server.key if self.server else None),
            **request.tasks_of(self.job.prefilled).environment(),
        }
        if run(command, log, environment, self._watch(log, cell)) != 0:
            raise lmms.failure(log, f"{self.job.label} on {task}")
        answers = lmms.whole_answers(raw, task, request.limit, log)
        for samples in raw.glob("*/*_samples_*.jsonl"):
            samples.unlink()  # All of the benchmark's images once more.
        return answers

    def _watch(self, log: Path, cell: Cell) -> Callable[[], None]:
        """Moves the bar; raises when a request was given up, or the server is gone."""
        asked = time.monotonic()

        def watch() -> None:
            nonlocal asked
            progress = lmms.progress(log)
            if progress is not None:
                self.display.answered(progress.done)
            if self.server is None:
                return
            if self.server.process is not None or time.monotonic() > asked + _ASK_SERVER_EVERY:
                asked = time.monotonic()
                self.server.check()
            refused = lmms.failed_request(log)
            if refused is not None:
                self.server.check()
                raise lmms.refused_request(
                    f"{self.job.label} on {cell.benchmark.name}", refused, log
                )

        return watch
