"""Steps of every kind of row for the recorder, and runs that it is to record."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor
from transfer_queue import KVBatchMeta

from care_verl.algorithm import CareConfig
from care_verl.algorithm.config import RgrConfig
from care_verl.records.files import RunRecord
from care_verl.training.care.row import CareRow
from care_verl.training.fields import CARE, EMBEDDING, RGR_SKIPPED
from care_verl.training.judged_row import JudgedRow
from care_verl.training.messages import ENCODED
from care_verl.training.recording.recorder import Recorder

from .samples import WELL_FORMED, MemoryQueue, record
from .trainers import batch_config, care_trainer, workers

CUE = "Look again."
CARE_K2 = CareConfig(K=2, rgr=RgrConfig(cue=CUE))

# (uid, record, embedding, the reason why it was not reflected on)
Sampled = tuple[str, CareRow, list[float] | None, str | None]
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


def png(shade: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 3), (shade, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def messages(uid: str) -> list[dict[str, Any]]:
    """All prompts show the same picture."""
    parts = [{"type": "image", ENCODED: png()}, {"type": "text", "text": f"What is {uid}?"}]
    return [{"role": "user", "content": parts}]


def columns(uid: str, row: JudgedRow, field: str, mask: Tensor) -> dict[str, Any]:
    """What the queue holds of a row of either method, as `field` of its extra fields."""
    report = {"acc": row.acc, "fmt": 1.0, "pred": "7", "read": "7.0", "rule": row.rule}
    return {
        "extra_fields": {field: row.to_mapping(), "reward_extra_info": report},
        "response_mask": mask,
        "responses": torch.arange(8),
        "prompts": torch.tensor([50, 51]),
        "metrics": {"generate_sequences": 0.5 + row.session},
        "raw_prompt": messages(uid),
        "reward_model": {"ground_truth": f"gold of {uid}"},
        "data_source": "charts",
        "index": 7,
    }


def fill(queue: MemoryQueue, rows: list[Sampled] | None = None) -> KVBatchMeta:
    """Rows in the queue as the agent loop leaves them, with every column that is read."""
    keys, tags = [], []
    for uid, row, embedding, skipped in ROWS if rows is None else rows:
        key = f"{uid}_{row.session}_0"
        given = 3 if row.reflected_from >= 0 else 0
        mask = torch.tensor([0] * given + [1] * (8 - given))
        queue.rows[key] = {**columns(uid, row, CARE, mask), "loss_mask": mask}
        if embedding is not None:
            extra = queue.rows[key]["extra_fields"]
            extra[EMBEDDING] = np.asarray(embedding, dtype=np.float32)
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
    return care_trainer(config, settings=care, actor_rollout_wg=workers(), _recorder=recorder)


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
    trainer._compute_metrics(kept, metrics, trainer.timing_raw, trainer.global_steps, 0)
    queue.rows.clear()
    return metrics


def by_name(run: RunRecord, step: int = 1) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["uid"], row["session"]): row for row in run.step(step).rows()}


def run_config(folder: Path) -> DictConfig:
    trainer = {"default_local_dir": str(folder), "rollout_data_dir": None}
    secret = {"env_vars": {"WANDB_API_KEY": "hush"}}
    values = {"trainer": trainer, "data": {"seed": 3}, "runtime": secret}
    return OmegaConf.merge(batch_config(rows=8, mini=8, dynamic=True), values)  # type: ignore[return-value]


def full_disk(folder: Path, step: int) -> None:
    """There is no room for the file of `step`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"step_{step:06d}.parquet.partial").symlink_to("/dev/full")
