"""`care-verl evaluate` with a stand-in for LMMs-Eval's process, and everything else as it is.

That LMMs-Eval itself understands what it is told is not shown here: see `test_end_to_end`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from care_verl.data.embedded.generator import example
from care_verl.data.embedded.rows import RL_SCHEMA, rl_row, write_rows
from care_verl.tools.cli import app
from care_verl.tools.evaluation import backends, evaluate, running, server
from care_verl.tools.evaluation.data import FOLDER
from tests.waiting import eventually

from .samples import WIDE
from .test_server import SERVE, Models, listening

STUB = Path(__file__).with_name("stub_lmms.py")
ROWS = 6


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Charts of the embedded task."""
    path = tmp_path_factory.mktemp("data") / "charts.parquet"
    write_rows((rl_row(example(5, "test", index)) for index in range(ROWS)), path, RL_SCHEMA)
    return path


class Command:
    """The command on the embedded task; `behave` sets what the stand-in does."""

    def __init__(self, out: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out = out
        self.rows = rows
        self._monkeypatch = monkeypatch
        self.started: list[str] = []
        monkeypatch.setattr(evaluate, "lmms_eval_python", lambda announce: None)
        self.behave("right")

    def behave(self, behaviour: str) -> None:
        def command() -> list[str]:
            self.started.append(behaviour)
            return [sys.executable, str(STUB), behaviour]

        self._monkeypatch.setattr(backends, "lmms_eval_command", command)

    def __call__(self, *arguments: object) -> Result:
        given = ["evaluate", *map(str, arguments), "--benchmarks", "embedded"]
        given += ["--data", str(self.rows), "--out", str(self.out)]
        return CliRunner().invoke(app, given, catch_exceptions=False, env=WIDE)

    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "results.json").read_text())
        return found


@pytest.fixture
def command(tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    # What `--data` sets in this process ends with the test.
    monkeypatch.setenv(FOLDER, "")
    return Command(tmp_path / "out", rows, monkeypatch)


@pytest.fixture
def models(tmp_path: Path, model_folder: Path) -> Sequence[Path]:
    """Three copies of a model."""
    folders = [tmp_path / name for name in ("first", "second", "third")]
    for folder in folders:
        shutil.copytree(model_folder, folder)
    return folders


def test_a_model_on_the_embedded_task(command: Command, models: Sequence[Path]) -> None:
    done = command(models[0], "--model-arg", "dtype=float32")
    assert done.exit_code == 0, done.output
    (line,) = command.results()["lines"]
    assert line["benchmarks"]["embedded"]["accuracy"]["mean"] == 1.0
    assert line["benchmarks"]["embedded"]["questions"] == ROWS
    assert command.results()["settings"]["options"] == {"dtype": "float32"}
    assert "100.0 (61.0 to 100.0)" in done.output


def test_what_was_answered_is_not_asked_again(command: Command, models: Sequence[Path]) -> None:
    """Interrupted in the second model, the command goes on with it."""
    command.behave("fail")
    assert command(models[0]).exit_code == 1
    command.behave("right")
    assert command(models[0]).exit_code == 0
    command.behave("wrong")
    done = command(models[0], models[1], "--name", "a", "--name", "b")
    assert done.exit_code == 0, done.output
    assert command.started == ["fail", "right", "wrong", "wrong"], "another label, another folder"
    command.behave("fail")
    assert command(models[0], models[1], "--name", "a", "--name", "b").exit_code == 0
    assert command.started[4:] == []


def test_seeds_and_a_paired_difference(command: Command, models: Sequence[Path]) -> None:
    command.behave("wrong")
    assert command(models[0], "--name", "base").exit_code == 0
    command.behave("right")
    done = command(*models, "--name", "base", "--name", "CARE", "--name", "CARE")
    assert done.exit_code == 0, done.output
    base, care = command.results()["lines"]
    assert (base["label"], len(care["models"])) == ("base", 2)
    assert care["benchmarks"]["embedded"]["by_seed"] == [1.0, 1.0]
    (difference,) = command.results()["differences"]
    assert difference["benchmarks"]["embedded"]["better"] == ROWS
    assert "CARE – base" in (command.out / "results.md").read_text()


def test_other_settings_are_not_mixed_with_earlier_answers(
    command: Command, models: Sequence[Path]
) -> None:
    assert command(models[0]).exit_code == 0
    done = command(models[0], "--temperature", "0.5")
    assert done.exit_code == 1
    assert "decoding = {'temperature': 0.0" in done.output
    assert "name another --out, or remove this folder" in done.output


def test_other_weights_in_the_same_place_neither(command: Command, models: Sequence[Path]) -> None:
    assert command(models[0]).exit_code == 0
    (models[0] / "model.safetensors").touch()
    assert "OtherSettingsError" in command(models[0]).output


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("missing", f"{ROWS - 1} answers to {ROWS} questions"),
        ("fail", "ValueError: out of luck"),
    ],
)
def test_status_zero_is_no_success(
    command: Command, models: Sequence[Path], behaviour: str, said: str
) -> None:
    command.behave(behaviour)
    done = command(models[0])
    assert done.exit_code == 1
    assert said in done.output
    assert not (command.out / "results.json").exists()
    assert not list(command.out.glob("cells/*/care_embedded_test"))


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float], None]:
    """A function: have `vllm serve` be a stand-in that ends by itself after so many seconds."""

    def ends_after(seconds: float) -> None:
        script = tmp_path / "serve.py"
        timer = f"import threading; threading.Timer({seconds}, lambda: os._exit(3)).start()"
        script.write_text(SERVE.replace("print(os.getpid()", f"{timer}\nprint(os.getpid()"))
        monkeypatch.setattr(server, "SERVE", [sys.executable, str(script)])

    return ends_after


def test_through_a_server(
    command: Command, models: Sequence[Path], serve: Callable[[float], None]
) -> None:
    serve(1000)
    done = command(models[0], "--backend", "openai")
    assert done.exit_code == 0, done.output
    assert not _processes(str(command.out.parent / "serve.py"))


def test_a_server_that_stops_in_mid_run(
    command: Command, models: Sequence[Path], serve: Callable[[float], None]
) -> None:
    """LMMs-Eval would go on, and score every question that is left as wrong."""
    serve(8)
    command.behave("hang")
    done = command(models[0], "--backend", "openai")
    assert done.exit_code == 1
    assert "ServerError" in done.output
    assert "vllm serve ended with status 3" in done.output
    assert not (command.out / "results.json").exists()
    assert not _processes(str(command.out))


def test_a_foreign_server_that_stops_in_mid_run(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_ASK_SERVER_EVERY", 0.0)
    command.behave("hang")

    def stop() -> None:
        assert eventually(lambda: bool(command.started))
        Models.stop.set()

    with listening() as url:
        threading.Thread(target=stop).start()
        given = ["--backend", "openai", "--base-url", url, "--max-new-tokens", 50]
        done = command("policy", *given)
    assert done.exit_code == 1
    assert f"{url} stopped answering" in done.output


def test_a_question_that_the_server_refuses(
    command: Command, models: Sequence[Path], serve: Callable[[float], None]
) -> None:
    """LMMs-Eval would take the refusal for the response."""
    serve(1000)
    command.behave("refused")
    done = command(models[0], "--backend", "openai")
    assert done.exit_code == 1
    assert "the server refused a question: Error code: 400 - This model's" in done.output
    assert "raise the limit with --model-arg max_model_len=N" in done.output


def test_a_part_says_that_it_is_one(command: Command, models: Sequence[Path]) -> None:
    assert command(models[0], "--limit", 2).exit_code == 0
    assert command.results()["lines"][0]["benchmarks"]["embedded"]["questions"] == 2
    assert command.results()["notes"] == ["the first 2 rows of each benchmark only"]


def test_tags_reach_the_tasks(command: Command, models: Sequence[Path]) -> None:
    """The stand-in writes the tags that it is told, and scores with them."""
    assert command(models[0], "--think-tag", "reasoning").exit_code == 0
    (line,) = command.results()["lines"]
    assert line["benchmarks"]["embedded"]["well_formed"]["mean"] == 1.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--benchmarks", "mathvist"], "did you mean 'mathvista'?"),
        (["--benchmarks", "nothing-like-it"], "expected paper, or one of"),
        (["--name", "a", "--name", "b"], "2 names for 1 models"),
        (["--base-url", "http://h/v1"], "--base-url is for --backend openai"),
        (["--model-arg", "dtype"], "expected KEY=VALUE"),
        (["--top-p", "2"], "top_p = 2.0 is not allowed"),
        (["--backbone", "GPT"], "expected one of Qwen2.5-VL-3B"),
    ],
)
def test_wrong_arguments(command: Command, models: Sequence[Path], given: list, said: str) -> None:
    arguments = ["evaluate", str(models[0]), "--benchmarks", "embedded", "--data", command.rows]
    done = CliRunner().invoke(app, [*map(str, arguments), "--out", str(command.out), *given])
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())


def test_a_model_twice_is_no_seed(command: Command, models: Sequence[Path]) -> None:
    done = command(models[0], models[0], "--name", "a", "--name", "a")
    assert "is given twice" in " ".join(done.output.replace("│", " ").split())


def test_the_benchmark_and_the_model_are_checked_before_anything_runs(
    command: Command, models: Sequence[Path], tmp_path: Path
) -> None:
    (models[1] / "tokenizer.json").unlink()
    done = command(models[0], models[1])
    assert "tokenizer.json is missing: no tokenizer" in done.output
    assert command.started == []


def test_interrupted_it_leaves_no_process_and_no_half_result(
    models: Sequence[Path], rows: Path, tmp_path: Path
) -> None:
    """Ctrl-C at the terminal, in a process of its own."""
    code = f"""
from care_verl.tools.cli import app
from care_verl.tools.evaluation import backends, evaluate, running, server
evaluate.lmms_eval_python = lambda announce: None
backends.lmms_eval_command = lambda: [{sys.executable!r}, {str(STUB)!r}, "hang"]
app()
"""
    out = tmp_path / "out"
    given = ["evaluate", models[0], "--benchmarks", "embedded", "--data", rows, "--out", out]
    running = subprocess.Popen([sys.executable, "-c", code, *map(str, given)])
    logs = out / "logs"
    said = "Model Responding"
    assert eventually(lambda: said in "".join(p.read_text() for p in logs.glob("*")), 90)
    running.send_signal(signal.SIGINT)
    assert running.wait(60) != 0
    assert not _processes(str(out))
    assert not (out / "results.json").exists()


def _processes(word: str) -> list[str]:
    """Command lines of running processes that name `word`, but for this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line and int(folder.name) != os.getpid():
            found.append(line)
    return found
