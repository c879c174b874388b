"""Reading runs: what is damaged is named, what is no run is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.records.files import step_name
from care_verl.records.schema import HEADER, RecordError
from care_verl.records.writing import write_run
from care_verl.tools.report.runs import ReportError, load_run, load_runs
from tests.records.samples import write_sample_run


def write_lines(path: Path, *lines: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def test_a_record(tmp_path: Path) -> None:
    write_sample_run(tmp_path / "records")
    run = load_run(tmp_path)
    assert list(run.metrics) == [1, 2, 3]
    assert run.groups is not None
    assert set(run.groups.step) == {1, 2, 3}
    assert run.setting("algorithm.care.rgr.mode") == "cue"
    assert run.setting("algorithm.nothing.here") is None
    assert run.notes == ()


def test_metrics_without_a_record(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "metrics.jsonl",
        {"step": 0, "data": {"val-core/a/acc/mean@1": 0.1}},
        {"step": 1, "data": {"critic/rewards/mean": 0.5, "note": "text", "nan": float("nan")}},
        {"step": 1, "data": {"critic/rewards/mean": 0.6}},
        ["not", "metrics"],
    )
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 2, "da')
    for given in (path, tmp_path):
        run = load_run(given)
        assert run.metrics == {
            0: {"val-core/a/acc/mean@1": 0.1},
            1: {"critic/rewards/mean": 0.6},
        }
        assert run.groups is None
        (note,) = run.notes
        assert "line 4" in note


def test_metrics_beside_a_record_fill_what_it_lacks(tmp_path: Path) -> None:
    write_sample_run(tmp_path / "records", steps=1)
    write_lines(
        tmp_path / "metrics.jsonl",
        {"step": 0, "data": {"val-core/a/acc/mean@1": 0.1}},
        {"step": 1, "data": {"timing_s/step": 99.0, "extra": 1.0}},
        {"step": 2, "data": {"extra": 2.0}},
    )
    for given in (tmp_path, tmp_path / "records"):
        run = load_run(given)
        assert list(run.metrics) == [0, 1, 2]
        assert run.metrics[1]["timing_s/step"] == 8.0
        assert run.metrics[1]["extra"] == 1.0


def test_a_damaged_step_is_left_out_and_named(tmp_path: Path) -> None:
    record = write_sample_run(tmp_path / "records")
    path = record / step_name(2)
    path.write_bytes(path.read_bytes()[:2000])
    run = load_run(tmp_path)
    assert list(run.metrics) == [1, 3]
    (note,) = run.notes
    assert str(path) in note
    assert "damaged" in note


def test_a_step_with_damaged_rows_keeps_its_metrics(tmp_path: Path) -> None:
    record = write_sample_run(tmp_path / "records")
    path = record / step_name(2)
    data = bytearray(path.read_bytes())
    data[4:104] = bytes(100)
    path.write_bytes(data)
    run = load_run(tmp_path)
    assert list(run.metrics) == [1, 2, 3]
    assert run.groups is not None
    assert set(run.groups.step) == {1, 3}
    assert "its rows are left out" in run.notes[0]


def test_steps_that_a_later_start_went_back_behind_are_left_out(tmp_path: Path) -> None:
    record = write_sample_run(tmp_path / "records")
    (first,) = pq.read_table(record / "run_001.parquet").to_pylist()
    write_run(record, first | {"first_step": 3})
    assert list(load_run(tmp_path).metrics) == [1, 2]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="holds no record.*Nor is there a metrics.jsonl"):
        load_run(tmp_path)
    with pytest.raises(ReportError, match="does not exist"):
        load_run(tmp_path / "nothing")
    with pytest.raises(ReportError, match="no step that can be read"):
        load_run(write_lines(tmp_path / "empty" / "metrics.jsonl"))
    (tmp_path / step_name(1)).write_bytes(b"PAR1")
    with pytest.raises(ReportError, match="no step that can be read.*damaged"):
        load_run(tmp_path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"format": "care-verl record", "version": 99, "step": 1, "metrics": {}})
    table = pa.table({"a": [1]}).replace_schema_metadata({HEADER: header})
    pq.write_table(table, tmp_path / step_name(1))
    with pytest.raises(RecordError, match="version 99"):
        load_run(tmp_path)


def test_a_run_is_not_taken_for_two_seeds(tmp_path: Path) -> None:
    write_sample_run(tmp_path / "records", steps=1)
    with pytest.raises(ReportError, match="more than once"):
        load_runs([tmp_path, tmp_path / "records"])
