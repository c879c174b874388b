"""The record of a run as the trainer writes it, on a queue in memory and without workers.

That verl calls the trainer's methods in this order stands in `recording.recorder`; that a whole run
is recorded, and adds up with its metrics, is shown end to end.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from care_verl.algorithm.config import RecordsConfig, RgrConfig
from care_verl.records.files import RunRecord
from care_verl.records.schema import ROW
from care_verl.training.recording import recorder as recorder_module

from .recorded import (
    CARE_K2,
    CUE,
    ROWS,
    by_name,
    png,
    recording_trainer,
    train,
)
from .samples import WELL_FORMED, MemoryQueue

pytestmark = pytest.mark.usefixtures("no_metrics_of_verl")


UPDATED = {"u": [0, 2, 3], "w": [0, 1, 2], "x": [0, 1], "y": [0, 1, 2]}
"""Sessions with an advantage. `u_1` was replaced by its successful reflection; `v` is all right."""


@pytest.fixture
def recorded(queue: MemoryQueue, tmp_path: Path) -> RunRecord:
    """One step with every kind of row."""
    trainer = recording_trainer(tmp_path)
    train(trainer, queue)
    trainer._recorder.close(failed=False)
    return RunRecord.find(tmp_path)


def test_every_row_is_there_dropped_ones_too(recorded: RunRecord) -> None:
    rows = by_name(recorded)
    assert list(rows) == [(uid, row.session) for uid, row, *_ in ROWS]
    kinds = [rows[uid, 0]["kind"] for uid in "uvwxy"]
    assert kinds == ["mixed", "all_right", "all_wrong", "mixed", "mixed"]
    roles = {uid: [row["role"] for (own, _), row in rows.items() if own == uid] for uid in "uvwxy"}
    assert roles == {
        "u": ["anchor", "outside", "negative", "positive"],
        "v": ["outside", "outside"],
        "w": ["negative", "anchor", "negative"],
        "x": ["anchor", "negative"],
        "y": ["anchor", "negative", "negative"],
    }
    assert [rows["u", 0][name] for name in ("k_prime", "k_s")] == [2, 1]


def test_every_column_but_those_of_the_other_method_is_set_somewhere(recorded: RunRecord) -> None:
    rows = recorded.step(1).rows()
    unset = {name for name in ROW.names if all(row[name] is None for row in rows)}
    assert unset == {
        *("accurate", "answer_tokens", "answer_likelihood", "bonus", "advantage_base"),
    }


def test_what_version_1_promised_still_holds(recorded: RunRecord) -> None:
    """Columns that are null for another method only."""
    promised = ("role", "is_source", "k_prime", "k_s", "advantage_raw", "logp_rollout")
    for row in recorded.step(1).rows():
        assert None not in [row[name] for name in promised]


def test_a_response_is_there_with_its_regions(recorded: RunRecord) -> None:
    row = by_name(recorded)["u", 0]
    assert row["response"] == "<think>ab</think><answer>7</answer>"
    assert row["response_ids"] == list(range(8))
    assert row["pieces"] == list(WELL_FORMED)
    assert (row["rationale"], row["answer"], row["end"]) == ([1, 3], [5, 6], 7)
    assert row["tags"] == [[0, 1], [3, 4], [4, 5], [6, 7]]
    assert row["seconds"] == 0.5


def test_what_the_verifier_said(recorded: RunRecord) -> None:
    row = by_name(recorded)["u", 2]
    names = ("acc", "fmt", "pred", "read", "rule")
    assert [row[name] for name in names] == [0.0, 1.0, "7", "7.0", "number"]
    assert row["reward"] == pytest.approx(0.1)
    assert by_name(recorded)["u", 0]["rule"] is None


def test_updated_rows_have_credit_and_log_probabilities(recorded: RunRecord) -> None:
    """Sums are over the decoded tokens: eight of an original, five of a reflection.

    Some dropped rows are scored as padding, which is no part of the step.
    """
    rows = by_name(recorded)
    updated = {(uid, session) for uid, sessions in UPDATED.items() for session in sessions}
    for name in ("credit", "logp_old", "logp_ref"):
        assert {key for key, row in rows.items() if row[name] is not None} == updated, name
    assert {key for key, row in rows.items() if row["advantage"]} == updated
    for key in updated:
        row = rows[key]
        decoded = sum(row["response_mask"])
        assert row["logp_old"] == -0.5 * decoded
        assert row["logp_ref"] == -0.25 * decoded
        assert sum(row["credit"]) == pytest.approx(row["advantage"], abs=1e-5)
        assert row["advantage_raw"]
    assert rows["w", 2]["logp_rollout"] == -3.0


def test_distances_and_ranks_are_of_originals(recorded: RunRecord) -> None:
    rows = by_name(recorded)
    assert [rows["u", i]["d_cos"] for i in range(3)] == pytest.approx([0.0, 0.2, 1.0])
    assert [rows["u", i]["rank"] for i in range(4)] == [None, 0, 1, None]
    assert rows["u", 3]["d_cos"] is None
    assert [rows["w", i]["rank"] for i in range(3)] == [1, 0, 2]


def test_reflections_and_their_sources(recorded: RunRecord) -> None:
    rows = by_name(recorded)
    names = ("rgr_outcome", "rgr_cue", "rgr_prefix_tokens", "rgr_skipped")
    assert [rows["u", 3][name] for name in names] == ["succeeded", CUE, 3, None]
    assert [rows["y", 2][name] for name in names] == ["failed", CUE, 3, None]
    assert [rows["x", 1][name] for name in names] == ["skipped", None, None, "no_room"]
    assert [rows["y", 1][name] for name in names] == [None] * 4
    sources = [key for key, row in rows.items() if row["is_source"]]
    assert sources == [("u", 1), ("x", 1), ("y", 1)]


def test_a_prompt_is_there_once_and_an_image_stored_once(recorded: RunRecord) -> None:
    rows = by_name(recorded)
    for (uid, session), row in rows.items():
        prompt = [row[name] for name in ("question", "gold", "prompt_ids")]
        if session:
            assert [*prompt, row["images"]] == [None] * 4
            continue
        assert prompt == [f"<image>What is {uid}?", f"gold of {uid}", [50, 51]]
        assert recorded.image(row["images"][0]) == png()
    assert {(row["data_source"], row["index"]) for row in rows.values()} == {("charts", "7")}
    assert len(list((recorded.folder / "images").iterdir())) == 1


def test_the_steps_metrics_are_with_it(queue: MemoryQueue, tmp_path: Path) -> None:
    trainer = recording_trainer(tmp_path)
    metrics = train(trainer, queue)
    trainer._recorder.wait()
    found = RunRecord.find(tmp_path).step(1).metrics
    assert found == {name: metrics[name] for name in metrics if name not in ("a/list", "a/nan")}
    assert {"care/rows/updated", "timing_s/records", "actor/kl_loss"} <= set(found)


def test_a_step_without_an_update_is_recorded(queue: MemoryQueue, tmp_path: Path) -> None:
    trainer = recording_trainer(tmp_path)
    train(trainer, queue, rows=[row for row in ROWS if row[0] == "v"])
    trainer._recorder.wait()
    rows = by_name(RunRecord.find(tmp_path))
    assert list(rows) == [("v", 0), ("v", 1)]
    assert rows["v", 0]["logp_old"] is None


def test_every_nth_step(queue: MemoryQueue, tmp_path: Path) -> None:
    care = replace(CARE_K2, records=RecordsConfig(every=3))
    trainer = recording_trainer(tmp_path, care)
    for step in range(1, 6):
        train(trainer, queue, step)
    trainer._recorder.wait()
    assert [step.step for step in RunRecord.find(tmp_path)] == [1, 4]


def test_the_last_recorded_steps_are_kept(queue: MemoryQueue, tmp_path: Path) -> None:
    """Of every second step two: 5 and 3."""
    care = replace(CARE_K2, records=RecordsConfig(every=2, keep=2))
    trainer = recording_trainer(tmp_path, care)
    for step in range(1, 6):
        train(trainer, queue, step)
    trainer._recorder.wait()
    run = RunRecord.find(tmp_path)
    assert [step.step for step in run] == [3, 5]
    assert run.image(by_name(run, 3)["u", 0]["images"][0]) == png()


def test_without_a_cue_none_is_recorded(queue: MemoryQueue, tmp_path: Path) -> None:
    trainer = recording_trainer(tmp_path, replace(CARE_K2, rgr=RgrConfig(mode="no_cue")))
    train(trainer, queue)
    trainer._recorder.wait()
    assert by_name(RunRecord.find(tmp_path))["u", 3]["rgr_cue"] is None


def test_the_trainer_does_not_wait_for_the_files(
    queue: MemoryQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step may wait to be written; the next one waits for it."""
    allowed, seen = threading.Event(), []
    write = recorder_module.write_step

    def slow(*arguments: Any) -> Path:
        assert allowed.wait(60)
        seen.append(arguments[1])
        return write(*arguments)

    monkeypatch.setattr(recorder_module, "write_step", slow)
    trainer = recording_trainer(tmp_path)
    train(trainer, queue)
    assert seen == []
    allowed.set()
    train(trainer, queue, step=2)
    assert seen[:1] == [1]
    trainer._recorder.close(failed=False)
    assert seen == [1, 2]
