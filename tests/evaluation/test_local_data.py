"""Where the tasks find local data; and whether a template opens the rationale."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from care_verl.data.embedded.generator import example
from care_verl.data.embedded.rows import RL_SCHEMA, rl_row, write_rows
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.checkpoint import UnusableCheckpointError
from care_verl.tools.evaluation.data import FOLDER, located
from care_verl.tools.evaluation.local_data import arranged, questions
from care_verl.tools.evaluation.template import opens_rationale


def charts(path: Path, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows((rl_row(example(5, "test", index)) for index in range(count)), path, RL_SCHEMA)
    return path


def found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv(FOLDER, str(folder))
    return questions(located(BENCHMARKS["embedded"]))


def test_a_file_holds_the_embedded_tasks_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = arranged([charts(tmp_path / "any.parquet", 3)], tmp_path / "data")
    assert found(folder, monkeypatch) == 3


def test_a_folder_holds_one_for_each_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charts(tmp_path / "all" / "embedded" / "test.parquet", 2)
    (tmp_path / "all" / "mmmu").mkdir()
    folder = arranged([tmp_path / "all"], tmp_path / "data")
    assert found(folder, monkeypatch) == 2
    assert {path.name for path in folder.iterdir()} == {"embedded", "mmmu"}


@pytest.mark.parametrize("file_last", [True, False])
def test_a_later_one_wins_and_the_users_own_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_last: bool
) -> None:
    """A link into a linked folder would replace the file that lies there."""
    own = charts(tmp_path / "all" / "embedded" / "test.parquet", 2)
    sources = [tmp_path / "all", charts(tmp_path / "any.parquet", 3)]
    folder = arranged(sources if file_last else sources[::-1], tmp_path / "data")
    assert found(folder, monkeypatch) == (3 if file_last else 2)
    assert not own.is_symlink()
    assert questions([own]) == 2


def test_another_call_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arranged([charts(tmp_path / "a.parquet", 2)], tmp_path / "data")
    arranged([charts(tmp_path / "b.parquet", 3)], tmp_path / "data")
    assert found(tmp_path / "data", monkeypatch) == 3
    assert questions([tmp_path / "a.parquet"]) == 2


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        arranged([tmp_path / "none"], tmp_path / "data")
    with pytest.raises(ValueError, match="holds no benchmark; expected folders named mathvista"):
        arranged([tmp_path], tmp_path / "data")


def test_a_template_that_opens_the_rationale(model_folder: Path, tmp_path: Path) -> None:
    assert not opens_rationale(str(model_folder), "think")
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + "<think>\n")
    assert opens_rationale(str(folder), "think")
    assert not opens_rationale(str(folder), "reasoning")


def test_a_tokenizer_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(
        UnusableCheckpointError, match=f"the tokenizer of {tmp_path} cannot be loaded"
    ):
        opens_rationale(str(tmp_path), "think")
