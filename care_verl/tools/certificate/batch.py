"""Placed rows as the batch that verl's queue would hand to one rank's actor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import NonTensorStack, TensorDict
from torch import Tensor

from care_verl.tools.certificate.cuts import Part, Placed
from care_verl.training.care.capture_file import CapturedRow
from care_verl.training.care.token_credit import row_credit
from care_verl.training.queue_rows import MASKS


def rank_batch(placed: Sequence[Placed]) -> TensorDict:
    """The fields of one rank's rows, jagged as the queue returns them."""
    rows = [_fields(row, part) for row, part in placed]
    data: dict[str, Any] = {
        name: torch.nested.as_nested_tensor([row[name] for row in rows], layout=torch.jagged)
        for name in rows[0]
    }
    media = [row.media for row, _ in placed]
    data["multi_modal_inputs"] = NonTensorStack(*media)
    return TensorDict(data, batch_size=[len(rows)])


def _fields(row: CapturedRow, part: Part) -> dict[str, Tensor]:
    length = len(row.response_mask)
    mask = torch.zeros_like(row.response_mask) if part is Part.CLEARED else row.response_mask
    trained = part is Part.TRAINED
    credit = row.token_advantage if trained else torch.zeros(length, dtype=torch.float32)
    assert credit is not None, f"a row of S* in group {row.uid} was captured without its credit"
    # Rows that were dropped have neither; any other numbers must do as well.
    old, ref = row.old_log_probs, row.ref_log_prob
    return {
        "prompts": row.input_ids[:-length],
        "responses": row.input_ids[-length:],
        "input_ids": row.input_ids,
        "position_ids": row.position_ids,
        **dict.fromkeys(MASKS, mask),
        "old_log_probs": row.rollout_log_probs if old is None else old,
        "ref_log_prob": row.rollout_log_probs if ref is None else ref,
        **row_credit(credit, trained),
    }
