"""Following a run of verl, with verl's process in a script's place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress

from care_verl.tools.demo import training


def line(step: int, **data: float) -> str:
    return json.dumps({"step": step, "data": data}) + "\n"


Poll = Callable[[], None]


@pytest.fixture
def progress() -> Progress:
    return Progress(disable=True)


def run(
    monkeypatch: pytest.MonkeyPatch, folder: Path, progress: Progress, writes: list[str]
) -> tuple[Any, list[tuple[Any, ...]]]:
    """`train` on a process that writes its metrics file as verl does: from its beginning."""
    calls: list[tuple[Any, ...]] = []

    def process(command: list[str], log: Path, environment: dict[str, str], poll: Poll) -> None:
        calls.append((command, log, environment))
        poll()
        with Path(environment["VERL_FILE_LOGGER_PATH"]).open("w") as file:
            for text in writes:
                file.write(text)
                file.flush()
                poll()

    monkeypatch.setattr(training, "logged_run", process)
    return training.train(folder, ["+recipe=embedded"], 2, progress), calls


def test_a_run_is_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, progress: Progress
) -> None:
    writes = [line(1, **{"care/acc/mean": 0.25}), line(2, **{"critic/score/mean": 0.5})]
    log, ((command, output, environment),) = run(monkeypatch, tmp_path, progress, writes)
    assert [step for step, _ in log.steps] == [1, 2]
    assert command[1:] == ["-m", "verl.trainer.main_ppo", "+recipe=embedded"]
    assert output == tmp_path / "train.log"
    assert environment["TENSORBOARD_DIR"] == str(tmp_path / "tensorboard")
    (task,) = progress.tasks
    assert (task.completed, task.total) == (2, 2)
    assert task.fields["info"] == "accuracy of rollouts 50%"


def test_metrics_of_an_earlier_run_are_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, progress: Progress
) -> None:
    earlier = "".join(line(step, x=0.123456789) for step in range(1, 4))
    (tmp_path / "metrics.jsonl").write_text(earlier)
    log, _ = run(monkeypatch, tmp_path, progress, [line(1, x=1.0), line(2, x=2.0)])
    assert log.steps == [(1, {"x": 1.0}), (2, {"x": 2.0})]
