"""What only rows of CARE have in a record: their part in the update, distances, reflections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from torch import Tensor

from care_verl.algorithm import CareAdvantages, CareConfig
from care_verl.algorithm.advantage import ROLES
from care_verl.algorithm.groups import ORIGINAL
from care_verl.algorithm.selection import KINDS
from care_verl.training.care.row import CareRow
from care_verl.training.care.step import CareStep
from care_verl.training.care.step_rows import StepRows
from care_verl.training.fields import RGR_SKIPPED
from care_verl.training.recording.held_step import RecordedRows, Row


def care_rows(step: CareStep, care: CareConfig) -> RecordedRows:
    """A step's rows for its record, dropped ones too."""
    rows, result = step.rows, step.result
    advantage = result.advantage.tolist()
    updated = frozenset(key for key, a in zip(rows.keys, advantage, strict=True) if a)
    return RecordedRows.of(rows, updated, partial(_columns, rows, result, care))


def _columns(rows: StepRows, result: CareAdvantages, care: CareConfig) -> list[Row]:
    made = [
        _part_in_the_group(rows, result, i) | _reflection(rows, i, care)
        for i in range(len(rows.keys))
    ]
    _add_sources(made, rows)
    _add_ranks(made, rows)
    return made


def _part_in_the_group(rows: StepRows, result: CareAdvantages, i: int) -> Row:
    original = rows.records[i].reflected_from == ORIGINAL
    group, distance = int(result.group[i]), float(result.d_cos[i])
    return {
        "kind": KINDS[int(result.kind[group])],
        "role": ROLES[int(result.role_code[i])],
        "k_prime": int(result.k_prime[group]),
        "k_s": int(result.k_s[group]),
        "d_cos": distance if original and math.isfinite(distance) else None,
        "advantage_raw": float(result.raw[i]),
        "advantage": float(result.advantage[i]),
    }


def _reflection(rows: StepRows, i: int, care: CareConfig) -> Row:
    record = rows.records[i]
    if record.reflected_from == ORIGINAL:
        reason = rows.tags[i].get(RGR_SKIPPED)
        return {"rgr_skipped": reason, "rgr_outcome": "skipped" if reason else None}
    return {
        "rgr_prefix_tokens": _given(rows.masks[i]),
        "rgr_cue": care.rgr.cue if care.rgr.mode == "cue" else None,
        "rgr_outcome": _outcome(record),
    }


def _given(mask: Tensor) -> int:
    """Zeros in front of the first decoded token."""
    decoded = mask.nonzero()
    return int(decoded[0]) if len(decoded) else len(mask)


def _outcome(record: CareRow) -> str:
    return "succeeded" if record.acc == 1 else "failed"


def _add_sources(made: Sequence[Row], rows: StepRows) -> None:
    uids = rows.uids
    reflected = {
        (uid, record.reflected_from) for uid, record in zip(uids, rows.records, strict=True)
    }
    for row, uid, record in zip(made, uids, rows.records, strict=True):
        row["is_source"] = (uid, record.session) in reflected or row["rgr_outcome"] == "skipped"


def _add_ranks(made: Sequence[Row], rows: StepRows) -> None:
    """By d_cos among the failed originals of a group; equal ones in the order of sessions."""
    ranks: dict[str, int] = {}
    columns = zip(made, rows.uids, rows.records, strict=True)
    failed = [(row, uid) for row, uid, one in columns if one.acc != 1 and row["d_cos"] is not None]
    for row, uid in sorted(failed, key=lambda pair: float(pair[0]["d_cos"])):
        row["rank"] = ranks.get(uid, 0)
        ranks[uid] = row["rank"] + 1
