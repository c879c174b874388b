"""The files that verl reads, and when they are made anew."""

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from care_verl.data.embedded.charts import SIZE
from care_verl.data.embedded.coldstart import EmbeddedPaths, cold_start, prepare_embedded
from care_verl.data.embedded.rows import RL_SCHEMA, SFT_SCHEMA
from care_verl.verifier import verify


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedPaths:
    return prepare_embedded(tmp_path_factory.mktemp("data") / "seed0", 0, 24, 8, sft_size=16)


def test_rows_for_reinforcement_learning(paths: EmbeddedPaths) -> None:
    for path, split, size in ((paths.train, "train", 24), (paths.test, "test", 8)):
        table = pq.read_table(path)
        assert table.schema.equals(RL_SCHEMA)
        rows = table.to_pylist()
        assert [row["extra_info"]["index"] for row in rows] == list(range(size))
        assert {row["extra_info"]["split"] for row in rows} == {split}
        for row in rows:
            (message,) = row["prompt"]
            assert message["role"] == "user"
            assert message["content"].count("<image>") == len(row["images"]) == 1
            assert Image.open(io.BytesIO(row["images"][0]["bytes"])).size == SIZE
            gold = row["reward_model"]["ground_truth"]
            assert verify(f"<think>.</think><answer>{gold}</answer>", gold).acc == 1


def test_rows_for_the_cold_start(paths: EmbeddedPaths) -> None:
    table = pq.read_table(paths.sft)
    assert table.schema.equals(SFT_SCHEMA)
    for row in table.to_pylist():
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert row["messages"][0]["content"].count("<image>") == len(row["images"]) == 1
        assert verify(row["messages"][1]["content"], "0").fmt == 1


def test_the_same_arguments_give_the_same_files(paths: EmbeddedPaths, tmp_path: Path) -> None:
    again = prepare_embedded(tmp_path / "again", 0, 24, 8, sft_size=16)
    for name in ("train.parquet", "sft.parquet", "model/model.safetensors", "model/tokenizer.json"):
        assert (again.root / name).read_bytes() == (paths.root / name).read_bytes()


def test_finished_files_are_kept_and_others_never_overwritten(paths: EmbeddedPaths) -> None:
    before = paths.train.stat().st_mtime_ns
    assert prepare_embedded(paths.root, 0, 24, 8, sft_size=16) == paths
    assert paths.train.stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="'seed': 0.*'seed': 1"):
        prepare_embedded(paths.root, 1, 24, 8, sft_size=16)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"no manifest\.json"):
        prepare_embedded(tmp_path, 0, 1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_interrupted_preparation_leaves_nothing_that_looks_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, seed: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "data"
    with monkeypatch.context() as patch:
        patch.setattr("care_verl.data.embedded.prepare._save_model", fail)
        with pytest.raises(KeyboardInterrupt):
            prepare_embedded(out, 0, 1, 1, sft_size=1)
    assert not out.exists()
    assert prepare_embedded(out, 0, 1, 1, sft_size=1).train.exists()


def test_no_demonstration_is_shown_twice(paths: EmbeddedPaths) -> None:
    with pytest.raises(ValueError, match="holds 16 demonstrations, 400 steps of 32 need 12800"):
        cold_start(paths, 0)
