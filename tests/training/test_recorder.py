"""The record of a run as the trainer writes it, on a queue in memory and without workers.

That verl calls the trainer's methods in this order is in `care_verl.seams`; that a whole run is
recorded, and adds up with its metrics, is shown end to end.
"""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from transfer_queue import KVBatchMeta

from care_verl.algorithm import CareConfig, RecordsConfig, RgrConfig
from care_verl.records.files import RunRecord
from care_verl.records.schema import ROW
from care_verl.training.dataset import ENCODED
from care_verl.training.disk import UnwritableError, explaining_disks
from care_verl.training.fields import CARE, EMBEDDING, RGR_SKIPPED
from care_verl.training.recording import recorder as recorder_module
from care_verl.training.recording.recorder import Recorder, recording
from care_verl.training.records import RowRecord

from .samples import WELL_FORMED, MemoryQueue, record
from .test_trainer import batch_config, care_trainer, workers

CUE = "Look again."
CARE_K2 = CareConfig(K=2, rgr=RgrConfig(cue=CUE))
UPDATED = {"u": [0, 2, 3], "w": [0, 1, 2], "x": [0, 1], "y": [0, 1, 2]}
"""Sessions with an advantage. `u_1` was replaced by its successful reflection; `v` is all right."""

# (uid, record, embedding, the reason why it was not reflected on)
Sampled = tuple[str, RowRecord, list[float] | None, str | None]
ROWS: list[Sampled] = [
    ("u", record(0, 1.0), [1.0, 0.0], None),
    ("u", record(1, 0.0), [0.8, 0.6], None),
    ("u", record(2, 0.0, rule="number"), [0.0, 1.0], None),
    ("u", record(3, 1.0, reflected_from=1), None, None),
    ("v", record(0, 1.0), [1.0, 0.0], None),
    ("v", record(1, 1.0), [1.0, 0.0], None),
    ("w", record(0, 0.0, logp=-2.0), [1.0, 0.0], None),
    ("w", record(1, 0.0, logp=-1.0), [0.8, 0.6], None),
    ("w", record(2, 0.0, logp=-3.0), [0.0, 1.0], None),
    ("x", record(0, 1.0), [1.0, 0.0], None),
    ("x", record(1, 0.0), [0.6, 0.8], "no_room"),
    ("y", record(0, 1.0), [1.0, 0.0], None),
    ("y", record(1, 0.0), [0.6, 0.8], None),
    ("y", record(2, 0.0, reflected_from=1), None, None),
]

pytestmark = pytest.mark.usefixtures("no_metrics_of_verl")


def png(shade: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 3), (shade, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def messages(uid: str) -> list[dict[str, Any]]:
    """All prompts show the same picture."""
    parts = [{"type": "image", ENCODED: png()}, {"type": "text", "text": f"What is {uid}?"}]
    return [{"role": "user", "content": parts}]


def fill(queue: MemoryQueue, rows: list[Sampled] | None = None) -> KVBatchMeta:
    """Rows in the queue as the agent loop leaves them, with every column that is read."""
    keys, tags = [], []
    for uid, row, embedding, skipped in ROWS if rows is None else rows:
        key = f"{uid}_{row.session}_0"
        report = {"acc": row.acc, "fmt": 1.0, "pred": "7", "read": "7.0", "rule": row.rule}
        extra: dict[str, Any] = {CARE: row.to_mapping(), "reward_extra_info": report}
        given = 3 if row.reflected_from >= 0 else 0
        mask = torch.tensor([0] * given + [1] * (8 - given))
        if embedding is not None:
            extra[EMBEDDING] = np.asarray(embedding, dtype=np.float32)
        queue.rows[key] = {
            "extra_fields": extra,
            "response_mask": mask,
            "loss_mask": mask,
            "responses": torch.arange(8),
            "prompts": torch.tensor([50, 51]),
            "metrics": {"generate_sequences": 0.5 + row.session},
            "raw_prompt": messages(uid),
            "reward_model": {"ground_truth": f"gold of {uid}"},
            "data_source": "charts",
            "index": 7,
        }
        keys.append(key)
        tag = {"prompt_len": 2, "response_len": 8, "seq_len": 10}
        tags.append({**tag, RGR_SKIPPED: skipped} if skipped else tag)
    return KVBatchMeta(partition_id="train", keys=keys, tags=tags)


def recording_trainer(folder: Path, care: CareConfig = CARE_K2) -> Any:
    folder.mkdir(exist_ok=True)
    config = OmegaConf.merge(
        batch_config(rows=8, mini=8, dynamic=True), {"trainer": {"rollout_data_dir": None}}
    )
    recorder = Recorder(folder, care.records, list(WELL_FORMED), start=1)
    return care_trainer(config, care=care, actor_rollout_wg=workers(), _recorder=recorder)


def train(
    trainer: Any, queue: MemoryQueue, step: int = 1, rows: list[Sampled] | None = None
) -> dict[str, Any]:
    """What verl does in a step, as far as the record is concerned; the step's metrics."""
    trainer.global_steps = step
    kept = trainer._assign_and_drop(fill(queue, rows))
    for key in kept.keys:
        queue.rows[key]["old_log_probs"] = torch.full((8,), -0.5)
        queue.rows[key]["ref_log_prob"] = torch.full((8,), -0.25)
    trainer._compute_advantage(kept, {})
    metrics: dict[str, Any] = {"actor/kl_loss": np.float32(0.5), "a/list": [1], "a/nan": np.nan}
    trainer._compute_metrics(kept, metrics, trainer.timing_raw)
    queue.rows.clear()
    return metrics


@pytest.fixture
def recorded(queue: MemoryQueue, tmp_path: Path) -> RunRecord:
    """One step with every kind of row."""
    trainer = recording_trainer(tmp_path)
    train(trainer, queue)
    trainer._recorder.close(failed=False)
    return RunRecord.find(tmp_path)


def by_name(run: RunRecord, step: int = 1) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["uid"], row["session"]): row for row in run.step(step).rows()}


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


def run_config(folder: Path) -> DictConfig:
    trainer = {"default_local_dir": str(folder), "rollout_data_dir": None}
    secret = {"env_vars": {"WANDB_API_KEY": "hush"}}
    values = {"trainer": trainer, "data": {"seed": 3}, "runtime": secret}
    return OmegaConf.merge(batch_config(rows=8, mini=8, dynamic=True), values)  # type: ignore[return-value]


def full_disk(folder: Path, step: int) -> None:
    """There is no room for the file of `step`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"step_{step:06d}.parquet.partial").symlink_to("/dev/full")


def trained(config: DictConfig, queue: MemoryQueue, tokenizer: Any, steps: int) -> None:
    with explaining_disks(config), recording(config, CARE_K2.records, tokenizer, 1) as recorder:
        trainer = care_trainer(config, care=CARE_K2, actor_rollout_wg=workers(), _recorder=recorder)
        for step in range(1, steps + 1):
            train(trainer, queue, step)


@pytest.mark.parametrize("steps", [1, 3], ids=["the last step", "an earlier step"])
def test_a_full_disk_ends_the_run(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any, steps: int
) -> None:
    """At the end of the run, or before the next step trains."""
    full_disk(tmp_path / "records", 1)
    with pytest.raises(UnwritableError) as raised:
        trained(run_config(tmp_path), queue, tokenizer, steps)
    assert "No space left on device" in str(raised.value)
    assert f"trainer.default_local_dir = {tmp_path} (" in str(raised.value)
    assert not (tmp_path / "records" / "step_000001.parquet").exists()
    assert not (tmp_path / "records" / "step_000002.parquet").exists()


def dying(config: DictConfig, queue: MemoryQueue, tokenizer: Any) -> None:
    """A run that dies of something else behind its first step."""
    with explaining_disks(config), recording(config, CARE_K2.records, tokenizer, 1) as recorder:
        train(care_trainer(config, actor_rollout_wg=workers(), _recorder=recorder), queue)
        raise KeyError("died")


def test_a_run_that_dies_keeps_its_own_error(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    full_disk(tmp_path / "records", 1)
    with pytest.raises(KeyError, match="died"):
        dying(run_config(tmp_path), queue, tokenizer)
    assert "the last step could not be recorded: [Errno 28]" in caplog.text


def test_a_run_that_dies_has_its_last_step_written(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any
) -> None:
    with pytest.raises(KeyError, match="died"):
        dying(run_config(tmp_path), queue, tokenizer)
    assert [step.step for step in RunRecord.find(tmp_path)] == [1]


def test_the_start_of_a_run_is_recorded(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained(run_config(tmp_path), queue, tokenizer, steps=1)
    run = RunRecord.find(tmp_path)
    (start,) = run.starts()
    assert run.folder == tmp_path / "records"
    assert start["config"]["trainer"]["default_local_dir"] == str(tmp_path)
    assert start["config"]["runtime"]["env_vars"]["WANDB_API_KEY"] == "(left out)"
    assert (start["first_step"], start["seeds"]) == (1, {"data.seed": 3})
    assert {"verl", "torch", "python"} <= set(start["versions"])


def test_a_resumed_run_overwrites_what_it_repeats(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any
) -> None:
    """Steps 1 to 3, then again from 2: until it is repeated, 3 is no part of the run."""
    config = run_config(tmp_path)
    trained(config, queue, tokenizer, steps=3)
    with recording(config, CARE_K2.records, tokenizer, 2) as recorder:
        trainer = care_trainer(config, actor_rollout_wg=workers(), _recorder=recorder)
        train(trainer, queue, step=2)
    run = RunRecord.find(tmp_path)
    assert [(step.step, step.start) for step in run] == [(1, 1), (2, 2)]
    assert [start["first_step"] for start in run.starts()] == [1, 2]


def test_off_is_off(tmp_path: Path, tokenizer: Any) -> None:
    off = RecordsConfig(every=0)
    with recording(run_config(tmp_path), off, tokenizer, 1) as recorder:
        assert recorder is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_its_own(tmp_path: Path, tokenizer: Any) -> None:
    elsewhere = RecordsConfig(folder=str(tmp_path / "a" / "b"))
    with recording(run_config(tmp_path), elsewhere, tokenizer, 1):
        pass
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["run_001.parquet"]


def test_samples_of_a_step_go_to_the_runs_trackers(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the trackers make of them is in `test_samples_table`."""
    logged: list[tuple[Any, int, int, int]] = []
    monkeypatch.setattr(
        recorder_module,
        "log_samples",
        lambda tracking, rows, step, groups: logged.append((tracking, len(rows), step, groups)),
    )
    care = CareConfig(K=2, records=RecordsConfig(samples=3))
    with recording(run_config(tmp_path), care.records, tokenizer, 1) as recorder:
        trainer = care_trainer(
            run_config(tmp_path), care=care, actor_rollout_wg=workers(), _recorder=recorder
        )
        trainer.logger = "the run's tracking"
        train(trainer, queue, step=1)
    ((tracking, rows, step, groups),) = logged
    assert (tracking, step, groups) == ("the run's tracking", 1, 3)
    assert rows > 0
