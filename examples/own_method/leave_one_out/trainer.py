"""A_i = r_i - mean of the other rewards of its group, on every decoded token."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer

from care_verl.training.judged_row import JudgedRow
from care_verl.training.queue_rows import put_by_key
from care_verl.training.recording.held_step import RecordedRows
from care_verl.training.run.row_fields import row_fields
from care_verl.training.run.trainers.whole_step import WholeStepTrainer, judged_rows, padding_of
from care_verl.training.sampled_rows import SampledRows
from leave_one_out import LEAVE_ONE_OUT
from leave_one_out.settings import LeaveOneOutConfig
from leave_one_out.wiring import TRAINER_MODE

Rows = SampledRows[JudgedRow]


@register_trainer(TRAINER_MODE)
class LeaveOneOutTrainer(WholeStepTrainer):
    method = LEAVE_ONE_OUT
    settings: LeaveOneOutConfig

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        rows = judged_rows(batch, self.method)
        baseline = baselines(rows)
        rewards = torch.tensor([row.reward for row in rows.records])
        advantage = self.settings.scale * (rewards - baseline)
        credit = {
            key: row_fields(float(advantage[i]), rows.masks[i], rows.records[i].reward)
            for i, key in enumerate(rows.keys)
        } | padding_of(batch)
        metrics["leave_one_out/acc/mean"] = sum(row.acc for row in rows.records) / len(rows.keys)
        metrics["leave_one_out/advantage/size"] = float(advantage.abs().mean())
        batch = put_by_key(batch, credit)
        columns = partial(recorded, rows.kinds, advantage, baseline)
        self._record(batch, RecordedRows.of(rows, frozenset(rows.keys), columns), credit)
        return batch


def baselines(rows: Rows) -> Tensor:
    """[B]: of each row the mean reward of the group's others; groups have two rows or more."""
    groups: dict[str, list[float]] = {}
    for uid, row in zip(rows.uids, rows.records, strict=True):
        groups.setdefault(uid, []).append(row.reward)
    pairs = zip(rows.uids, rows.records, strict=True)
    return torch.tensor(
        [(sum(groups[uid]) - row.reward) / (len(groups[uid]) - 1) for uid, row in pairs]
    )


def recorded(kinds: list[str], advantage: Tensor, baseline: Tensor) -> list[dict[str, Any]]:
    """The columns that only this method knows, one mapping a row."""
    values = zip(kinds, advantage.tolist(), baseline.tolist(), strict=True)
    return [{"kind": kind, "advantage": a, "baseline": b} for kind, a, b in values]
