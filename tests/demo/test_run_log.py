"""Reading a metrics file while another process writes it."""

from __future__ import annotations

import json
from pathlib import Path

from care_verl.tools.demo.run_log import RunLog


def line(step: int, **data: float) -> str:
    return json.dumps({"step": step, "data": data}) + "\n"


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_a_run_that_has_not_started(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.jsonl")
    assert list(log.new_steps()) == []
    assert log.steps == []


def test_each_step_is_read_once(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.jsonl")
    append(log.path, line(0, x=1.0) + line(1, x=2.0))
    assert list(log.new_steps()) == [(0, {"x": 1.0}), (1, {"x": 2.0})]
    assert list(log.new_steps()) == []
    append(log.path, line(2, x=3.0))
    assert list(log.new_steps()) == [(2, {"x": 3.0})]
    assert [step for step, _ in log.steps] == [0, 1, 2]


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    """Cut inside the second line, and inside a character of two bytes."""
    log = RunLog(tmp_path / "metrics.jsonl")
    whole = (line(1, x=1.0) + '{"step": 2, "data": {"größe": 2.0}}\n').encode()
    cut = whole.index("ö".encode()) + 1
    log.path.write_bytes(whole[:cut])
    assert list(log.new_steps()) == [(1, {"x": 1.0})]
    log.path.write_bytes(whole)
    assert list(log.new_steps()) == [(2, {"größe": 2.0})]


def test_series_and_totals_are_over_the_steps_that_have_the_metric(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.jsonl")
    append(log.path, line(0, other=1.0) + line(1, x=2) + line(2, x=3.5))
    assert len(list(log.new_steps())) == 3
    assert log.series("x") == [2.0, 3.5]
    assert log.total("x") == 5.5
    assert log.total("absent") == 0
