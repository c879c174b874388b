"""A record is read as it was written; broken and foreign files are told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.records.files import RunRecord
from care_verl.records.schema import HEADER, MEANING, ROW, RUN, RecordError
from care_verl.records.writing import drop_old_steps, store_image, write_run, write_step

from .samples import write_consistency_run, write_sample_run

AGAIN = {"first_step": 2}
ROOT = Path(__file__).parents[2]

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from care_verl.records import writing
from tests.records.samples import write_sample_run

folder = Path(sys.argv[1])
write_table = writing.pq.write_table

def half(table, file, **options):
    if file.name.endswith("step_000002.parquet.partial"):
        file.write(b"PAR1" * 4096)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    write_table(table, file, **options)

writing.pq.write_table = half
write_sample_run(folder, steps=3)
"""


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = RunRecord.find(write_sample_run(tmp_path / "run" / "records").parent)
    assert [step.step for step in record] == [1, 2, 3]
    rows = record.step(2).rows()
    assert {row["role"] for row in rows} >= {"anchor", "negative", "outside"}
    first = rows[0]
    assert b"".join(first["pieces"]).decode() == first["response"]
    assert record.image(first["images"][0]).startswith(b"\x89PNG")
    assert record.step(2).metrics["timing_s/step"] == 8.0
    assert record.starts()[0]["config"]["algorithm"]["care"]["K"]


def test_every_column_has_a_meaning() -> None:
    assert list(MEANING) == ROW.names


def test_a_column_that_an_older_file_lacks_is_null(tmp_path: Path) -> None:
    folder = write_sample_run(tmp_path, steps=1)
    path = folder / "step_000001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["seconds"]), path)
    assert RunRecord.find(folder).step(1).table().schema.names == ROW.names
    assert RunRecord.find(folder).step(1).rows(["seconds"])[0] == {"seconds": None}


def as_version(path: Path, version: int, columns: list[str]) -> None:
    """Make a step's file one of another version, with these columns."""
    table = pq.read_table(path, columns=columns)
    header = json.loads(table.schema.metadata[HEADER]) | {"version": version}
    pq.write_table(table.replace_schema_metadata({HEADER: json.dumps(header)}), path)


def test_a_file_of_version_1_is_read(tmp_path: Path) -> None:
    """It has not the columns of GRPO-CARE; that its others are read as before is all there is."""
    folder = write_sample_run(tmp_path, steps=1)
    before = RunRecord.find(folder).step(1).rows()
    added = {"accurate", "answer_tokens", "answer_likelihood", "bonus", "advantage_base"}
    path = folder / "step_000001.parquet"
    as_version(path, 1, [name for name in ROW.names if name not in added])
    found = RunRecord.find(folder).step(1)
    assert found.rows() == before
    assert found.table().schema.names == ROW.names


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = write_sample_run(tmp_path, steps=1) / "step_000001.parquet"
    as_version(path, 3, ROW.names)
    with pytest.raises(RecordError, match="of version 3; expected .* of version 1 or 2"):
        _ = RunRecord.find(tmp_path).steps


def test_rows_of_grpo_care_have_no_part_in_a_subgroup(tmp_path: Path) -> None:
    rows = RunRecord.find(write_consistency_run(tmp_path, steps=1)).step(1).rows()
    assert {row["role"] for row in rows} == {None}
    assert {row["bonus"] for row in rows} == {0.0, 0.5}
    assert any(row["answer_likelihood"] is None for row in rows)


def test_steps_that_a_later_start_went_back_behind_are_left_out(tmp_path: Path) -> None:
    """Resumed behind step 1: 2 is written anew, 3 not yet."""
    folder = write_sample_run(tmp_path, steps=3)
    start = write_run(folder, {**pq.read_table(folder / "run_001.parquet").to_pylist()[0], **AGAIN})
    assert start == 2
    assert [step.step for step in RunRecord.find(folder)] == [1]
    write_step(folder, 2, RunRecord.find(folder).step(1).rows(), {}, start)
    assert [(step.step, step.start) for step in RunRecord.find(folder)] == [(1, 1), (2, 2)]
    with pytest.raises(RecordError, match="holds 2 steps from 1 to 2"):
        RunRecord.find(folder).step(3)
    write_run(folder, {**pq.read_table(folder / "run_001.parquet").to_pylist()[0]})
    with pytest.raises(RecordError, match="holds 3 steps, all of them of an earlier start"):
        _ = RunRecord.find(folder).steps


def test_the_last_steps_are_kept(tmp_path: Path) -> None:
    """Resumed behind step 2, of which 3 was just made anew: 5 and 6 wait to be made anew."""
    for step in (1, 2, 3, 5, 6):
        write_step(tmp_path, step, [], {})
    drop_old_steps(tmp_path, newest=3, keep=2)
    assert [step.step for step in RunRecord(tmp_path)] == [2, 3, 5, 6]
    drop_old_steps(tmp_path, newest=6, keep=9)
    assert [step.step for step in RunRecord(tmp_path)] == [2, 3, 5, 6]


def test_a_step_that_is_dropped_while_a_reader_looks_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        write_step(tmp_path, step, [], {})
    monkeypatch.setattr("care_verl.records.files.steps_in", lambda folder: [1, 2, 3])
    assert [step.step for step in RunRecord(tmp_path)] == [1, 2]


def test_a_run_killed_while_it_writes_leaves_whole_files(tmp_path: Path) -> None:
    """By SIGKILL, with half of the second step's file on the disk."""
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "step_000002.parquet.partial").stat().st_size > 0
    run = RunRecord.find(tmp_path)
    assert [step.step for step in run] == [1]
    assert len(run.step(1).rows()) > 8


def test_an_image_is_made_and_stored_once(tmp_path: Path) -> None:
    made = []

    def data() -> bytes:
        made.append(1)
        return b"one"

    for _ in range(2):
        assert store_image(tmp_path, "a.png", data) == "a.png"
    assert len(made) == 1
    assert RunRecord(tmp_path).image("a.png") == b"one"


def test_numbers_of_every_make_are_metrics(tmp_path: Path) -> None:
    metrics = {"a": 1, "b": np.float32(0.5), "c": np.int64(2), "d": "text", "e": float("inf")}
    write_step(tmp_path, 1, [], metrics)
    assert RunRecord.find(tmp_path).step(1).metrics == {"a": 1.0, "b": 0.5, "c": 2.0}


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no record"):
        RunRecord.find(tmp_path)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "step_000001.parquet")
    with pytest.raises(RecordError, match="of version None"):
        _ = RunRecord.find(tmp_path).steps
    write_sample_run(tmp_path, steps=1)
    with pytest.raises(RecordError, match="step 7 is not in .* 1 steps from 1 to 1"):
        RunRecord.find(tmp_path).step(7)


def shown(kind: pa.DataType) -> str:
    """A column's type in words."""
    if pa.types.is_list(kind):
        return f"list of {shown(kind.value_type)}"
    return {"float": "float32", "double": "float64"}.get(str(kind), str(kind))


@pytest.mark.parametrize("field", ROW, ids=ROW.names)
def test_every_column_is_documented(field: pa.Field) -> None:
    null = "" if field.nullable else ", never null"
    row = f"| `{field.name}` | {shown(field.type)}{null} | {MEANING[field.name]} |"
    assert row in (ROOT / "docs" / "records.md").read_text("utf-8")


@pytest.mark.parametrize("name", RUN.names)
def test_every_column_of_a_start_is_documented(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "records.md").read_text("utf-8")
