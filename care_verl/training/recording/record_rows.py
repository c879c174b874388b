"""The rows of a step's record (`care_verl.records.schema`) from what was held of the step.

Here is what rows of either method have; what only one knows is in `care_rows` and `grpo_care_rows`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from care_verl.algorithm.spans import TokenSpans
from care_verl.common.vocabulary import piece_of
from care_verl.records.schema import ROW
from care_verl.records.writing import store_image
from care_verl.training.messages import question, stored_images
from care_verl.training.recording.held_step import HeldStep, Row


def record_rows(held: HeldStep, vocabulary: Sequence[bytes], folder: Path) -> list[Row]:
    """One mapping a row with the columns of `ROW`; images are stored in `folder` on the way.

    vocabulary: the bytes of each token id.
    """
    rows = [
        dict.fromkeys(ROW.names)
        | _identity(held, i, uid)
        | _response(held, i, vocabulary)
        | _verdict(held, i)
        | _part_in_the_update(held, i)
        | own
        for i, (uid, own) in enumerate(zip(held.rows.uids, held.rows.columns(), strict=True))
    ]
    _add_prompts(rows, held, folder)
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
    pieces = [piece_of(token, vocabulary) for token in ids]
    # Models may stop at tokens that their tokenizer takes for text.
    if spans.end < len(pieces):
        pieces[spans.end] = b""
    return {
        "response": b"".join(pieces).decode(errors="replace"),
        "response_ids": ids,
        "response_mask": held.rows.masks[i].tolist(),
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
    key, mask = held.rows.keys[i], held.rows.masks[i]
    credit = held.credit.get(key)
    return {
        "credit": None if credit is None else credit.tolist(),
        "logp_rollout": held.rows.records[i].logp,
        "logp_old": _decoded_sum(held.old.get(key), mask),
        "logp_ref": _decoded_sum(held.reference.get(key), mask),
    }


def _decoded_sum(values: Tensor | None, mask: Tensor) -> float | None:
    return None if values is None else float(values.double()[mask != 0].sum())


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
            "images": [
                store_image(folder, image.name, image.data) for image in stored_images(messages)
            ],
            "prompt_ids": prompt["prompts"].tolist(),
        }


def _text(value: Any) -> str | None:
    """Texts as they are; what else data and rewards may hold as JSON."""
    if value is None or isinstance(value, str):
        return value
    plain = value.tolist() if hasattr(value, "tolist") else value
    return plain if isinstance(plain, str) else json.dumps(plain, default=str, ensure_ascii=False)
