"""The rows of a step's record (`care_verl.records.schema`) from what was held of the step."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from care_verl.algorithm import KINDS, ROLES, CareConfig, TokenSpans
from care_verl.records.writing import store_image
from care_verl.training.fields import RGR_SKIPPED
from care_verl.training.messages import question, stored_images
from care_verl.training.recording.held_step import HeldStep
from care_verl.training.records import ORIGINAL, RowRecord

Row = dict[str, Any]


def record_rows(
    held: HeldStep, care: CareConfig, vocabulary: Sequence[bytes], folder: Path
) -> list[Row]:
    """One mapping a row with the columns of `ROW`; images are stored in `folder` on the way.

    vocabulary: the bytes of each token id.
    """
    rows = [
        _identity(held, i, uid)
        | _response(held, i, vocabulary)
        | _verdict(held, i)
        | _part_in_the_update(held, i)
        | _log_probabilities(held, i)
        | _reflection(held, i, care)
        for i, uid in enumerate(held.rows.uids)
    ]
    _add_prompts(rows, held, folder)
    _add_sources(rows)
    _add_ranks(rows)
    return rows


def _identity(held: HeldStep, i: int, uid: str) -> Row:
    record, prompt = held.rows.records[i], held.prompts[uid]
    return {
        "uid": uid,
        "session": record.session,
        "reflected_from": record.reflected_from,
        "data_source": _text(prompt.get("data_source")),
        "index": _text(prompt.get("index")),
        "seconds": held.seconds[i],
    }


def _response(held: HeldStep, i: int, vocabulary: Sequence[bytes]) -> Row:
    ids, spans = held.responses[i].tolist(), held.rows.records[i].spans
    pieces = [vocabulary[token] if token < len(vocabulary) else b"" for token in ids]
    # Models may stop at tokens that their tokenizer takes for text.
    if spans.end < len(pieces):
        pieces[spans.end] = b""
    return {
        "response": b"".join(pieces).decode(errors="replace"),
        "response_ids": ids,
        "response_mask": held.rows.response_masks[i].tolist(),
        "pieces": pieces,
        "rationale": spans.rationale,
        "answer": spans.answer,
        "tags": [tag for tag in _tags(spans) if tag],
        "end": spans.end,
    }


def _tags(spans: TokenSpans) -> list[tuple[int, int] | None]:
    return [spans.think_open, spans.think_close, spans.answer_open, spans.answer_close]


def _verdict(held: HeldStep, i: int) -> Row:
    record, report = held.rows.records[i], held.rows.reports[i]
    fmt = report.get("fmt")
    return {
        "acc": record.acc,
        "fmt": float(fmt) if isinstance(fmt, int | float) else None,
        "reward": record.reward,
        "pred": _text(report.get("pred")),
        "read": _text(report.get("read")),
        "rule": record.rule or None,
    }


def _part_in_the_update(held: HeldStep, i: int) -> Row:
    result, original = held.result, held.rows.records[i].reflected_from == ORIGINAL
    group, distance = int(result.group[i]), float(result.d_cos[i])
    credit = held.credit.get(held.rows.keys[i])
    return {
        "kind": KINDS[int(result.kind[group])],
        "role": ROLES[int(result.role_code[i])],
        "k_prime": int(result.k_prime[group]),
        "k_s": int(result.k_s[group]),
        "d_cos": distance if original and math.isfinite(distance) else None,
        "advantage_raw": float(result.raw[i]),
        "advantage": float(result.advantage[i]),
        "credit": None if credit is None else credit.tolist(),
    }


def _log_probabilities(held: HeldStep, i: int) -> Row:
    key, mask = held.rows.keys[i], held.rows.response_masks[i]
    return {
        "logp_rollout": held.rows.records[i].logp,
        "logp_old": _decoded_sum(held.old.get(key), mask),
        "logp_ref": _decoded_sum(held.reference.get(key), mask),
    }


def _decoded_sum(values: Tensor | None, mask: Tensor) -> float | None:
    return None if values is None else float(values.double()[mask != 0].sum())


def _reflection(held: HeldStep, i: int, care: CareConfig) -> Row:
    record = held.rows.records[i]
    if record.reflected_from == ORIGINAL:
        reason = held.rows.tags[i].get(RGR_SKIPPED)
        return {"rgr_skipped": reason, "rgr_outcome": "skipped" if reason else None}
    return {
        "rgr_prefix_tokens": _given(held.rows.response_masks[i]),
        "rgr_cue": care.rgr.cue if care.rgr.mode == "cue" else None,
        "rgr_outcome": _outcome(record),
    }


def _given(mask: Tensor) -> int:
    """Zeros in front of the first decoded token."""
    decoded = mask.nonzero()
    return int(decoded[0]) if len(decoded) else len(mask)


def _outcome(record: RowRecord) -> str:
    return "succeeded" if record.acc == 1 else "failed"


def _add_prompts(rows: Sequence[Row], held: HeldStep, folder: Path) -> None:
    """To the first row of each group."""
    missing = dict(held.prompts)
    for row in rows:
        prompt = missing.pop(row["uid"], None)
        if prompt is None:
            continue
        messages = prompt["raw_prompt"]
        row |= {
            "question": question(messages),
            "gold": _text((prompt.get("reward_model") or {}).get("ground_truth")),
            "images": [store_image(folder, *image) for image in stored_images(messages)],
            "prompt_ids": prompt["prompts"].tolist(),
        }


def _add_sources(rows: Sequence[Row]) -> None:
    reflected = {(row["uid"], row["reflected_from"]) for row in rows}
    for row in rows:
        own = row["uid"], row["session"]
        row["is_source"] = own in reflected or row["rgr_outcome"] == "skipped"


def _add_ranks(rows: Sequence[Row]) -> None:
    """By d_cos among the failed originals of a group; equal ones in the order of sessions."""
    ranks: dict[str, int] = {}
    failed = [row for row in rows if row["acc"] != 1 and row["d_cos"] is not None]
    for row in sorted(failed, key=lambda row: row["d_cos"]):
        row["rank"] = ranks.get(row["uid"], 0)
        ranks[row["uid"]] = row["rank"] + 1


def _text(value: Any) -> str | None:
    """Texts as they are; what else data and rewards may hold as JSON."""
    if value is None or isinstance(value, str):
        return value
    plain = value.tolist() if hasattr(value, "tolist") else value
    return plain if isinstance(plain, str) else json.dumps(plain, default=str, ensure_ascii=False)
