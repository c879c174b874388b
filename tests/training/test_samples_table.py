"""The table of telling groups, and CARE's metrics, in verl's real trackers.

Nothing is sent anywhere: W&B runs offline. What their pages look like is not shown here.
"""

from __future__ import annotations

import json
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html
from verl.utils.tracking import Tracking

from care_verl.records.files import RunRecord
from care_verl.tools.report import series
from care_verl.training.recording.samples_table import COLUMNS, NAME, SHOWS, log_samples, samples_of
from tests.records.samples import write_consistency_run, write_sample_run

Row = dict[str, Any]


@pytest.fixture
def steps(tmp_path: Path) -> list[tuple[list[Row], dict[str, float]]]:
    """Rows and metrics of a few steps with groups of all kinds."""
    record = RunRecord(write_sample_run(tmp_path / "records", steps=8, groups=20, seed=3))
    return [(step.rows(), step.metrics) for step in record]


def texts_of(folder: Path) -> dict[int, str]:
    """TensorBoard's texts by step."""
    events = EventAccumulator(str(folder)).Reload()
    return {
        event.step: event.tensor_proto.string_val[0].decode()
        for event in events.Tensors(f"{NAME}/text_summary")
    }


def wandb_history(file: Path) -> dict[int, dict[str, Any]]:
    """What an offline run's file has logged, by step.

    The file is a log of LevelDB's form: blocks of 32 KiB, in them pieces of messages, each with
    checksum, length and whether it is whole, the first, in the middle or the last.
    """
    from wandb.proto import wandb_internal_pb2

    data, at, message = file.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    history: dict[int, dict[str, Any]] = {}
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, form = struct.unpack_from("<IHB", data, at)
        message += data[at + 7 : at + 7 + length]
        at += 7 + length
        if form not in (1, 4):
            continue
        record = wandb_internal_pb2.Record.FromString(message)
        message = b""
        if record.WhichOneof("record_type") == "history":
            items = {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }
            history.setdefault(items["_step"], {}).update(items)
    return history


def whole_history(file: Path, last: int) -> dict[int, dict[str, Any]]:
    """W&B's process may write on for a moment after `finish` has returned."""
    deadline = time.monotonic() + 30
    while last not in (history := wandb_history(file)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return history


def test_each_kind_has_its_turn(steps: list[tuple[list[Row], dict[str, float]]]) -> None:
    rows = [row for step, _ in steps for row in step]
    samples = [dict(zip(COLUMNS, one, strict=True)) for one in samples_of(rows, 8, 4)]
    groups = list(dict.fromkeys(one["group"] for one in samples))
    assert len(groups) == 4
    roles = {one["shows"]: [] for one in samples}
    for one in samples:
        roles[one["shows"]].append((one["role"], one["acc"]))
    assert tuple(roles) == SHOWS[:-1]
    assert roles["contrast"] == [("anchor", 1), ("negative", 0)]
    assert roles["repair"] == [("anchor", 1), ("source", 0), ("reflection", 1)]
    assert roles["rescue"] == [("anchor", 0), ("negative", 0)]
    assert roles["all right"] == [("outside", 1)]
    assert all(one["question"].startswith("<image>What is ") and one["gold"] for one in samples)
    by_name = {(row["uid"], row["response"]): row for row in rows}
    for one in samples:
        row = by_name[one["group"], one["response"]]
        assert one["A"] == pytest.approx(row["advantage"])
        assert one["d_cos"] == row["d_cos"]


def test_the_closest_contrast_comes_first(steps: list[tuple[list[Row], dict[str, float]]]) -> None:
    rows = [row for step, _ in steps for row in step]
    samples = [dict(zip(COLUMNS, one, strict=True)) for one in samples_of(rows, 8, 10_000)]
    shown = [one["d_cos"] for one in samples if one["shows"] == "contrast" and one["acc"] == 0]
    assert len(shown) > 10
    assert shown == sorted(shown)


def test_of_grpo_care_a_bonus_and_its_lack_are_shown(tmp_path: Path) -> None:
    rows = RunRecord(write_consistency_run(tmp_path, steps=1, groups=20)).step(1).rows()
    samples = [dict(zip(COLUMNS, one, strict=True)) for one in samples_of(rows, 1, 10_000)]
    assert {one["shows"] for one in samples} == {"bonus"}
    pairs = list(zip(samples[::2], samples[1::2], strict=True))
    assert len(pairs) > 3
    for likely, unlikely in pairs:
        assert likely["group"] == unlikely["group"]
        assert likely["likelihood"] > unlikely["likelihood"]
        assert (likely["role"], unlikely["role"]) == ("with bonus", "no bonus")
        assert (likely["acc"], unlikely["acc"], likely["d_cos"]) == (1.0, 1.0, None)


def test_the_series_of_the_reports_figures_are_documented() -> None:
    """Those that are read by name; that a run logs them, tests of the trainer show."""
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    table = page.split("## Figures and their series")[1].split("## Parity")[0]
    constants = [value for name, value in vars(series).items() if name.isupper()]
    names = {value for value in constants if isinstance(value, str) and "/" in value}
    assert len(names) > 10
    for name in names:
        section, _, last = name.rpartition("/")
        assert f"`{name}`" in table or (f"`{section}/" in table and f"`{last}`" in table), name


def test_nothing_is_logged_for_none(tmp_path: Path, steps: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("TENSORBOARD_DIR", str(tmp_path / "board"))
    tracking = Tracking("project", "run", ["console", "tensorboard"])
    log_samples(tracking, steps[0][0], 1, 0)
    tracking.finish()
    assert f"{NAME}/text_summary" not in EventAccumulator(str(tmp_path / "board")).Reload().Tags()


def test_tensorboard_has_series_and_texts(
    tmp_path: Path, steps: list[tuple[list[Row], dict[str, float]]], monkeypatch: Any
) -> None:
    """Every metric of the record under its name, at its step, and a table for each step."""
    monkeypatch.setenv("TENSORBOARD_DIR", str(tmp_path / "board"))
    tracking = Tracking("project", "run", ["tensorboard"])
    for step, (rows, metrics) in enumerate(steps, start=1):
        log_samples(tracking, rows, step, 4)
        tracking.log(metrics, step)
    tracking.finish()
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    for name in {name for _, metrics in steps for name in metrics}:
        expected = [
            (step, metrics[name])
            for step, (_, metrics) in enumerate(steps, start=1)
            if name in metrics
        ]
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected]
    texts = texts_of(tmp_path / "board")
    assert list(texts) == list(range(1, 9))
    page = markdown_to_safe_html(texts[8])
    samples = list(samples_of(steps[7][0], 8, 4))
    assert page.count("<tr>") == 1 + len(samples)
    assert "&#60;think&#62;" in page


def test_a_hostile_response_stays_in_its_cell(
    tmp_path: Path, steps: list[tuple[list[Row], dict[str, float]]], monkeypatch: Any
) -> None:
    hostile = (
        "a | b\n\n</td></table><script>alert(1)</script> **x** `y` [z](http://z) \\| # ![i](u)"
    )
    rows = [{**row, "response": hostile, "question": row["question"]} for row in steps[0][0]]
    monkeypatch.setenv("TENSORBOARD_DIR", str(tmp_path / "board"))
    tracking = Tracking("project", "run", ["tensorboard"])
    log_samples(tracking, rows, 1, 2)
    tracking.finish()
    page = markdown_to_safe_html(texts_of(tmp_path / "board")[1])
    shown = len(list(samples_of(rows, 1, 2)))
    assert page.count("<tr>") == 1 + shown
    assert page.count("<td>") == shown * len(COLUMNS)
    assert page.count("</table>") == 1
    for tag in ("<script", "<strong", "<code", "<a ", "<img"):
        assert tag not in page


@pytest.mark.slow
def test_wandb_has_series_and_tables(
    tmp_path: Path, steps: list[tuple[list[Row], dict[str, float]]], monkeypatch: Any
) -> None:
    """An offline run, its tables logged from another thread as the recorder does; read back."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracking = Tracking("project", "run", ["wandb"], config={"trainer": {}})
    with ThreadPoolExecutor(1) as thread:
        for step, (rows, metrics) in enumerate(steps, start=1):
            writing = thread.submit(log_samples, tracking, rows, step, 4)
            tracking.log(metrics, step)
            writing.result()
    folder = Path(wandb.run.dir).parent
    tracking.finish()

    history = whole_history(next(folder.glob("*.wandb")), last=len(steps))
    for step, (rows, metrics) in enumerate(steps, start=1):
        found = history[step]
        assert {name: found[name] for name in metrics} == pytest.approx(metrics)
        table = json.loads((folder / "files" / found[f"{NAME}/path"]).read_text())
        assert table["columns"] == list(COLUMNS)
        assert table["data"] == json.loads(json.dumps(list(samples_of(rows, step, 4))))
