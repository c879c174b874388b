"""The whole command for real: LMMs-Eval in its environment, vLLM, and the embedded model.

Weights are random, so that accuracy says nothing; what is compared are the responses of backends.
Accuracies of a trained model stand in docs/evaluation.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from care_verl.data.embedded.generator import example
from care_verl.data.embedded.rows import RL_SCHEMA, rl_row, write_rows
from care_verl.tools.cli import app
from care_verl.tools.evaluation.answers import load_answers
from care_verl.tools.evaluation.data import FOLDER

from .samples import WIDE

ROWS = 6
FEW_TOKENS = 6
"""Of random weights, probabilities that are nearly equal may decide otherwise later on."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "charts.parquet"
    write_rows((rl_row(example(5, "test", index)) for index in range(ROWS)), path, RL_SCHEMA)
    return path


class Evaluated:
    """Runs the command with one backend after the other, each into a folder of its own."""

    def __init__(self, model: Path, rows: Path, folder: Path) -> None:
        self.model = model
        self.rows = rows
        self.folder = folder

    def __call__(self, backend: str, *more: str) -> dict[str, str]:
        """Responses by question."""
        out = self.folder / backend
        given = ["evaluate", str(self.model), "--benchmarks", "embedded", "--backend", backend]
        given += ["--data", str(self.rows), "--out", str(out), "--model-arg", "dtype=float32"]
        given += ["--max-new-tokens", str(FEW_TOKENS), *more]
        done = CliRunner().invoke(app, given, catch_exceptions=False, env=WIDE)
        assert done.exit_code == 0, done.output
        (answers,) = out.glob("cells/*/*/answers.jsonl")
        return {answer.doc_id: answer.response for answer in load_answers(answers)}

    def results(self, backend: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / backend / "results.json").read_text())
        return found


@pytest.fixture
def evaluated(
    model_folder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Evaluated:
    monkeypatch.setenv(FOLDER, "")
    return Evaluated(model_folder, rows, tmp_path)


@pytest.mark.slow
def test_vllm_answers_as_transformers_does(evaluated: Evaluated) -> None:
    by_vllm = evaluated("vllm")
    assert set(by_vllm) == {f"test-5-{index}" for index in range(ROWS)}
    assert any(by_vllm.values()), "some consist of special tokens, which are left out"
    assert evaluated("hf") == by_vllm
    (line,) = evaluated.results("vllm")["lines"]
    assert line["benchmarks"]["embedded"]["questions"] == ROWS


@pytest.mark.slow
def test_a_server_answers_as_vllm_in_process_does(evaluated: Evaluated) -> None:
    """`vllm serve` is started, and gone behind it."""
    by_server = evaluated("openai", "--model-arg", "max_model_len=512")
    assert not [line for line in _command_lines() if f"serve {evaluated.model}" in line]
    assert by_server == evaluated("vllm", "--model-arg", "max_model_len=512")


@pytest.mark.proof
@pytest.mark.parametrize("backend", ["vllm", "openai"])
def test_an_image_beyond_the_models_limit(
    model_folder: Path, rows: Path, tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends say so, and no number is reported."""
    monkeypatch.setenv(FOLDER, "")
    given = ["evaluate", str(model_folder), "--benchmarks", "embedded", "--backend", backend]
    given += ["--data", str(rows), "--out", str(tmp_path / "out")]
    given += ["--model-arg", "dtype=float32", "--model-arg", "max_model_len=16"]
    given += ["--max-new-tokens", "4"]
    done = CliRunner().invoke(app, given, catch_exceptions=False, env=WIDE)
    assert done.exit_code == 1
    assert "raise the limit with --model-arg max_model_len=N" in done.output
    assert not (tmp_path / "out" / "results.json").exists()


def _command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found
