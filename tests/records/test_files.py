"""A record is read as it was written; broken and foreign files are told."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.records.files import RunRecord
from care_verl.records.schema import MEANING, ROW, RecordError

from .samples import write_sample_run


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


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no record"):
        RunRecord.find(tmp_path)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "step_000001.parquet")
    with pytest.raises(RecordError, match="of version None"):
        _ = RunRecord.find(tmp_path).steps
    write_sample_run(tmp_path, steps=1)
    with pytest.raises(RecordError, match="step 7 is not in .* 1 steps from 1 to 1"):
        RunRecord.find(tmp_path).step(7)
