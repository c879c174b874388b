"""A captured step: what of each row is taken when, on a queue in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta

from care_verl.algorithm import CareConfig
from care_verl.algorithm.config import CaptureConfig, RecordsConfig
from care_verl.training.care.capture_file import Capture, read_capture
from care_verl.training.recording.recorder import Recorder

from .samples import MemoryQueue
from .trainers import batch_config, care_trainer, sampled, workers

MODEL = {
    "actor_rollout_ref": {
        "model": {"path": "/models/policy"},
        "rollout": {"temperature": 0.7},
        "actor": {
            "entropy_coeff": 0,
            "kl_loss_type": "low_var_kl",
            "loss_agg_mode": "seq-mean-token-mean",
        },
    },
    "trainer": {"rollout_data_dir": None},
}


def capturing_trainer(folder: Path, step: int) -> Any:
    config = OmegaConf.merge(batch_config(rows=8, mini=8, dynamic=True), MODEL)
    capture = CaptureConfig(step=2, folder=str(folder))
    care = replace(CareConfig(K=2), capture=capture, records=RecordsConfig(every=0))
    recorder = Recorder(folder / "records", care.records, [], start=0)
    return care_trainer(
        config, actor_rollout_wg=workers(), settings=care, global_steps=step, _recorder=recorder
    )


def filled(queue: MemoryQueue) -> KVBatchMeta:
    """`sampled` with the columns that verl's agent loop writes."""
    batch = sampled(queue)
    for number, key in enumerate(sorted(queue.rows)):
        queue.rows[key] |= {
            "input_ids": torch.arange(10) + 100 * number,
            "position_ids": torch.arange(40).reshape(4, 10) + number,
            "rollout_log_probs": torch.full((8,), -0.5 - number),
            "multi_modal_inputs": {"pixel_values": torch.full((2, 3), float(key[0] == "u"))},
        }
    return batch


def captured(queue: MemoryQueue, folder: Path) -> Capture:
    trainer = capturing_trainer(folder, step=2)
    kept = trainer._assign_and_drop(filled(queue))
    for key in kept.keys:
        for name in ("old_log_probs", "ref_log_prob"):
            queue.rows[key][name] = torch.full((8,), -1.0 if name == "old_log_probs" else -2.0)
    trainer._compute_advantage(kept, {})
    trainer._recorder.finish({}, None)
    trainer._recorder.close(failed=False)
    return read_capture(folder / "step_2.safetensors")


def test_dropped_rows_are_there_and_kept_ones_complete(queue: MemoryQueue, tmp_path: Path) -> None:
    """u_0, u_2 and u_3 are S*; u_1 stays as padding, its masks cleared after it was captured."""
    made = captured(queue, tmp_path)
    rows = {(row.uid, row.session): row for row in made.rows}
    assert len(rows) == 6
    assert [row.in_s_star for row in made.rows] == [True, False, True, True, False, False]
    assert rows["u", 3].reflected_from == 1
    assert {row.kind for row in made.rows} == {"mixed", "all_right"}
    for key, row in rows.items():
        assert row.response_mask.tolist() == [1] * 8
        assert torch.equal(row.media["pixel_values"], torch.full((2, 3), float(key[0] == "u")))
        assert row.position_ids.shape == (4, 10)
    kept = rows["u", 2]
    assert kept.old_log_probs is not None
    assert kept.ref_log_prob is not None
    assert (kept.old_log_probs[0], kept.ref_log_prob[0]) == (-1.0, -2.0)
    assert kept.token_advantage is not None
    assert float(kept.token_advantage.sum()) == pytest.approx(kept.advantage)
    assert rows["v", 0].old_log_probs is None
    assert int(kept.input_ids[0]) == 200


def test_what_the_update_was_made_with(queue: MemoryQueue, tmp_path: Path) -> None:
    made = captured(queue, tmp_path)
    assert (made.step, made.model, made.temperature) == (2, "/models/policy", 0.7)
    assert made.loss == MODEL["actor_rollout_ref"]["actor"]
    assert made.settings.K == 2


def test_other_steps_are_not_captured(queue: MemoryQueue, tmp_path: Path) -> None:
    trainer = capturing_trainer(tmp_path, step=1)
    trainer._compute_advantage(trainer._assign_and_drop(sampled(queue)), {})
    trainer._recorder.finish({}, None)
    trainer._recorder.close(failed=False)
    assert list(tmp_path.iterdir()) == []
