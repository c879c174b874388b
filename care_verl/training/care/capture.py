"""One step's rows, taken from verl's queue on their way (`algorithm.care.capture`).

Dropped rows are there before the drop only, old and reference log-probabilities after it; a
capture is therefore begun by the one and written by the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig
from torch import Tensor
from transfer_queue import KVBatchMeta

from care_verl.algorithm import CareAdvantages, CareConfig
from care_verl.algorithm.selection import KINDS
from care_verl.common.logs import logger_of
from care_verl.training.care.capture_file import Capture, CapturedRow, write_capture
from care_verl.training.care.step import CareStep
from care_verl.training.care.step_rows import StepRows
from care_verl.training.queue_rows import plain

logger = logger_of(__name__)

LOSS_SETTINGS = ("entropy_coeff", "kl_loss_type", "loss_agg_mode")
_BEFORE_THE_DROP = [
    "input_ids",
    "position_ids",
    "response_mask",
    "rollout_log_probs",
    "multi_modal_inputs",
]


class StepCapture:
    """All rows of a step: begun before the drop (`of`), completed before the update."""

    def __init__(self, path: Path, capture: Capture, keys: Sequence[str]) -> None:
        self._path, self._capture = path, capture
        self._rows = dict(zip(keys, capture.rows, strict=True))

    @classmethod
    def of(
        cls, partition_id: str, step: CareStep, config: DictConfig, care: CareConfig, number: int
    ) -> StepCapture:
        """Read what the queue holds of every row of the step with this number."""
        model = config.actor_rollout_ref
        capture = Capture(
            step=number,
            model=str(model.model.path),
            temperature=float(model.rollout.temperature),
            loss={name: model.actor[name] for name in LOSS_SETTINGS},
            settings=care,
            rows=_captured(partition_id, step.rows, step.result),
        )
        path = Path(care.capture.folder) / f"step_{number}.safetensors"
        return cls(path, capture, step.rows.keys)

    def complete(self, batch: KVBatchMeta, credit: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Add what the rows of `batch` got since; copies made for padding are no rows."""
        names = ["old_log_probs", *(["ref_log_prob"] if self._capture.settings.beta > 0 else [])]
        for key in batch.keys:
            if key in self._rows:
                later = _row_fields(batch.partition_id, key, names)
                self._rows[key] = replace(
                    self._rows[key], token_advantage=credit[key]["advantages"], **later
                )

    def write(self) -> None:
        """Write `step_N.safetensors`."""
        write_capture(self._path, replace(self._capture, rows=list(self._rows.values())))
        logger.info("wrote all rows of step %d to %s", self._capture.step, self._path)


def _captured(partition_id: str, rows: StepRows, result: CareAdvantages) -> list[CapturedRow]:
    kinds = result.kind[result.group].tolist()
    captured = []
    for i, (key, uid, record) in enumerate(zip(rows.keys, rows.uids, rows.records, strict=True)):
        held = _row_fields(partition_id, key, _BEFORE_THE_DROP)
        row = CapturedRow(
            uid=uid,
            session=record.session,
            reflected_from=record.reflected_from,
            kind=KINDS[kinds[i]],
            role=result.role[i],
            acc=record.acc,
            advantage=float(result.advantage[i]),
            spans=record.spans,
            media=_media(key, held.pop("multi_modal_inputs", None)),
            **held,
        )
        captured.append(row)
    return captured


def _row_fields(partition_id: str, key: str, names: Sequence[str]) -> dict[str, Any]:
    # Row by row: torch cannot split a nested tensor of three-dimensional position ids.
    row = tq.kv_batch_get(keys=[key], partition_id=partition_id, select_fields=list(names))[0]
    return {name: plain(value) for name, value in row.items()}


def _media(key: str, value: Any) -> dict[str, Tensor]:
    media = {name: item for name, item in (value or {}).items() if item is not None}
    others = sorted(name for name, item in media.items() if not isinstance(item, Tensor))
    if others:
        raise ValueError(
            f"row {key} has multi-modal inputs that are no tensors: {', '.join(others)}; a capture "
            "holds tensors only"
        )
    return media
