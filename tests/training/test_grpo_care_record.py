"""The record of a GRPO-CARE run as its trainer writes it, on a queue in memory.

The recorder itself is in `test_recorder`; that a whole run is recorded is shown end to end.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta

from care_verl.algorithm.consistency_config import GrpoCareConfig, GrpoCareRecordsConfig
from care_verl.methods.grpo_care import GRPO_CARE
from care_verl.records.files import RunRecord
from care_verl.records.schema import ROW
from care_verl.training.judged_row import JudgedRow
from care_verl.training.recording.recorder import recording
from care_verl.training.run.disk import UnwritableError, explaining_disks

from .recorded import by_name, columns, full_disk, png, run_config
from .samples import WELL_FORMED, MemoryQueue, answered
from .trainers import bare_trainer

CARES = {
    *("role", "is_source", "k_prime", "k_s", "d_cos", "rank", "advantage_raw"),
    *("rgr_prefix_tokens", "rgr_cue", "rgr_outcome", "rgr_skipped"),
}
"""Columns that only CARE has."""

# (uid, row, the reference's likelihood of each token)
ROWS: list[tuple[str, JudgedRow, float]] = [
    ("u", answered(0, 1.0, 1.0, (5, 6), rule="number"), 0.8),
    ("u", answered(1, 1.0, 1.0, (5, 6), logp=None), 0.4),
    ("u", answered(2, 1.0, 0.9, None), 1.0),
    ("u", answered(3, 0.0, 0.1, (5, 6)), 0.9),
    ("v", answered(0, 0.0, 0.1, (5, 6)), 0.5),
    ("v", answered(1, 0.25, 0.1, (5, 6)), 0.5),
    ("w", answered(0, 1.0, 1.0, (5, 6)), 0.99),
]
PADDING = "pad0_0_0"

pytestmark = pytest.mark.usefixtures("no_metrics_of_verl")


def fill(queue: MemoryQueue) -> KVBatchMeta:
    """Rows as they are when advantages are due, in another order, with a row of padding."""
    keys = []
    for uid, row, likelihood in reversed([*ROWS, ("pad0", ROWS[0][1], 1.0)]):
        key = f"{uid}_{row.session}_0"
        mask = torch.full((8,), int(key != PADDING))
        queue.rows[key] = {
            **columns(uid, row, GRPO_CARE.name, mask),
            "ref_log_prob": torch.full((8,), math.log(likelihood)),
            "old_log_probs": torch.full((8,), -0.5),
        }
        queue.tags[key] = {"is_padding": key == PADDING}
        keys.append(key)
    return KVBatchMeta(partition_id="train", keys=keys, tags=[queue.tags[key] for key in keys])


def train(queue: MemoryQueue, recorder: Any, step: int = 1) -> None:
    """What verl does in a step, as far as the record is concerned."""
    trainer = bare_trainer(_recorder=recorder, global_steps=step, timing_raw={}, logger=None)
    metrics: dict[str, Any] = {}
    batch = trainer._compute_advantage(fill(queue), metrics)
    trainer._compute_metrics(batch, metrics, trainer.timing_raw, trainer.global_steps, 0)
    queue.rows.clear()


@pytest.fixture
def recorded(queue: MemoryQueue, tmp_path: Path, tokenizer: Any) -> RunRecord:
    """One step, under the settings that are the default."""
    config = run_config(tmp_path)
    with recording(config, GrpoCareConfig().records, tokenizer, 1) as recorder:
        assert recorder is not None
        recorder._vocabulary = list(WELL_FORMED)
        train(queue, recorder)
    return RunRecord.find(tmp_path)


def test_every_row_is_there_in_order_and_no_padding(recorded: RunRecord) -> None:
    assert list(by_name(recorded)) == [(uid, row.session) for uid, row, _ in ROWS]


def test_every_column_but_those_of_the_other_method_is_set_somewhere(recorded: RunRecord) -> None:
    rows = recorded.step(1).rows()
    assert {name for name in ROW.names if all(row[name] is None for row in rows)} == CARES


def test_what_became_of_each_row(recorded: RunRecord) -> None:
    """Group u by hand: rewards 1.5, 1, 0.9, 0.1 with the bonus; 1, 1, 0.9, 0.1 without."""
    rows = by_name(recorded)
    u = [rows["u", session] for session in range(4)]
    assert [row["accurate"] for row in u] == [True, True, True, False]
    assert [row["bonus"] for row in u] == [0.5, 0.0, 0.0, 0.0]
    assert [row["answer_tokens"] for row in u] == [[5, 6], [5, 6], None, [5, 6]]
    assert u[2]["answer_likelihood"] is None
    assert [u[i]["answer_likelihood"] for i in (0, 1, 3)] == pytest.approx([0.8, 0.4, 0.9])
    # Held at the upper bound.
    assert rows["w", 0]["answer_likelihood"] == 0.95
    deviation = math.sqrt(1.0075 / 3) + 1e-4
    assert u[0]["advantage"] == pytest.approx(0.625 / deviation)
    # Mean 0.75; squares 2 · 0.0625 + 0.0225 + 0.4225.
    base = math.sqrt(0.57 / 3) + 1e-4
    assert u[0]["advantage_base"] == pytest.approx(0.25 / base)
    assert u[3]["advantage_base"] == pytest.approx(-0.65 / base)
    kinds = {uid: rows[uid, 0]["kind"] for uid in "uvw"}
    assert kinds == {"u": "mixed", "v": "all_wrong", "w": "all_right"}
    assert (rows["v", 1]["acc"], rows["v", 1]["accurate"], rows["v", 0]["accurate"]) == (
        *(0.25, True),
        False,
    )


def test_all_rows_have_credit_and_log_probabilities(recorded: RunRecord) -> None:
    """All are in the update, those without an advantage too."""
    rows = by_name(recorded)
    for row in rows.values():
        assert row["credit"] == pytest.approx([row["advantage"]] * 8)
        assert row["logp_old"] == -4.0
    assert rows["w", 0]["credit"] == [0.0] * 8
    assert rows["u", 1]["logp_ref"] == pytest.approx(8 * math.log(0.4))
    assert (rows["u", 0]["logp_rollout"], rows["u", 1]["logp_rollout"]) == (-1.0, None)


def test_response_verdict_and_prompt_are_as_cares(recorded: RunRecord) -> None:
    row = by_name(recorded)["u", 0]
    assert row["response"] == "<think>ab</think><answer>7</answer>"
    assert (row["rationale"], row["answer"], row["end"]) == ([1, 3], [5, 6], 7)
    names = ("acc", "fmt", "pred", "read", "rule")
    assert [row[name] for name in names] == [1.0, 1.0, "7", "7.0", "number"]
    assert (row["reward"], row["seconds"], row["reflected_from"]) == (1.0, 0.5, -1)
    assert (row["question"], row["gold"]) == ("<image>What is u?", "gold of u")
    assert recorded.image(row["images"][0]) == png()
    assert {"grpo_care/bonus/rate", "timing_s/records"} <= set(recorded.step(1).metrics)


def test_every_nth_step(queue: MemoryQueue, tmp_path: Path, tokenizer: Any) -> None:
    settings = GrpoCareRecordsConfig(every=2, folder=str(tmp_path / "elsewhere"))
    with recording(run_config(tmp_path), settings, tokenizer, 1) as recorder:
        for step in range(1, 5):
            train(queue, recorder, step)
    assert [step.step for step in RunRecord.find(tmp_path / "elsewhere")] == [1, 3]


def test_off_is_off(queue: MemoryQueue, tmp_path: Path, tokenizer: Any) -> None:
    with recording(run_config(tmp_path), GrpoCareRecordsConfig(every=0), tokenizer, 1) as recorder:
        assert recorder is None
        train(queue, recorder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [1, 3], ids=["the last step", "an earlier step"])
def test_a_full_disk_ends_the_run(
    queue: MemoryQueue, tmp_path: Path, tokenizer: Any, steps: int
) -> None:
    folder = tmp_path / "elsewhere"
    own = {"algorithm": {"grpo_care": {"records": {"folder": str(folder)}}}}
    config: Any = OmegaConf.merge(run_config(tmp_path), own)
    full_disk(folder, 1)

    def trained() -> None:
        settings = GrpoCareRecordsConfig(folder=str(folder))
        with explaining_disks(config), recording(config, settings, tokenizer, 1) as recorder:
            for step in range(1, steps + 1):
                train(queue, recorder, step)

    with pytest.raises(UnwritableError, match="No space left on device") as raised:
        trained()
    assert f"algorithm.grpo_care.records.folder = {folder} (" in str(raised.value)
    assert not (folder / "step_000002.parquet").exists()
