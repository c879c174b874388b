"""Records with texts of one's choice: two groups that read well, and one that means harm."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from care_verl.algorithm import token_spans
from care_verl.grammar import TagSpec
from care_verl.records.schema import ROW
from care_verl.records.writing import write_step
from tests.records.samples import stored

QUESTION = "<image>What is the product of all the values in 2015?"
CUE = "Wait. Something above does not fit the image; I check each value again."
ANCHOR = """The legend names three lines. At 2015 they read:
1. Human activity: 75.
2. Natural patterns: 33.
3. No evidence: 8.
The product is 75 × 33 × 8 = 2475 × 8 = 19,800."""
OMISSION = """The legend names two lines. At 2015 they read:
1. Human activity: 75.
2. Natural patterns: 33.
No other line is clearly visible. The product is 75 × 33 = 2475."""
MISREAD = """The legend names three lines. At 2015 they read:
1. Human activity: 75.
2. Natural patterns: 33.
3. No evidence: about 10.
The product is 75 × 33 × 10 = 2475 × 10 = 24,750."""
SLIP = """The legend names three lines. In 2015 the values are 75, 33 and 8.
The product is 75 × 33 × 8 = 2475 × 8 = 18,900."""
SUMMED = "At 2015 the lines read 75, 33 and 8. Together that is 75 + 33 + 8 = 116."
REPAIRED = """
The beige line at the bottom, “No evidence”, ends at 8.
The values are 75, 33 and 8, so the product is 2475 × 8 = 19,800."""


def text(rationale: str, answer: str) -> str:
    return f"<think>{rationale}</think>\n<answer>{answer}</answer>"


def cut(response: str) -> list[bytes]:
    """Tokens of a response, as bytes, with the end of the sequence."""
    found = re.findall(r"</?(?:think|answer)>|\n|[ ]?\w+|[ ]?[^\w\s<]|\s|<", response)
    return [*(piece.encode() for piece in found), b""]


def row(uid: str, session: int, pieces: Sequence[bytes], **changes: Any) -> dict[str, Any]:
    """A row with these tokens that was not updated, unless `changes` say otherwise."""
    spans = token_spans(pieces, TagSpec())
    tags = [spans.think_open, spans.think_close, spans.answer_open, spans.answer_close]
    plain = {
        **dict.fromkeys(ROW.names),
        "uid": uid,
        "session": session,
        "reflected_from": -1,
        "data_source": "charts",
        "index": "7",
        "response": b"".join(pieces).decode(errors="replace"),
        "response_ids": list(range(len(pieces))),
        "response_mask": [1] * len(pieces),
        "pieces": list(pieces),
        "rationale": list(spans.rationale) if spans.rationale else None,
        "answer": list(spans.answer) if spans.answer else None,
        "tags": [list(tag) for tag in tags if tag],
        "end": spans.end,
        "acc": 0.0,
        "fmt": 1.0,
        "reward": 0.1,
        "kind": "mixed",
        "role": "outside",
        "is_source": False,
        "k_prime": 3,
        "k_s": 3,
        "advantage_raw": 0.0,
        "advantage": 0.0,
        "logp_rollout": -12.5,
    }
    return plain | changes


def updated(row: dict[str, Any], advantage: float, gamma: float = 0.005) -> dict[str, Any]:
    """The row with an advantage, and with credit by the scheme `rw` (Section 3.5, Eq. 11)."""
    weights = np.zeros(len(row["response_mask"]))
    if row["acc"] == 1 and row["rationale"]:
        weights[slice(*row["rationale"])] = gamma
    weights[slice(*row["answer"])] = 1.0
    weights *= np.array(row["response_mask"])
    credit = (advantage * weights / weights.sum()).tolist()
    change = {"advantage": advantage, "advantage_raw": 2 * advantage, "credit": credit}
    return row | change | {"logp_old": -12.4, "logp_ref": -12.9}


def readable_group(folder: Path, uid: str, succeeded: bool = True) -> list[dict[str, Any]]:
    """A mixed group in the manner of the paper's Figure 14, its reflection successful or not."""

    def original(session: int, rationale: str, answer: str, **changes: Any) -> dict[str, Any]:
        fields = {"pred": answer, "read": answer.replace(",", ""), "rule": "number"}
        return row(uid, session, cut(text(rationale, answer)), **fields | changes)

    prompt = {
        "question": QUESTION,
        "gold": "19800",
        "images": [stored(folder, plot())],
    }
    right = {"acc": 1.0, "reward": 1.0}
    rows = [
        original(0, ANCHOR, "19,800", role="anchor", d_cos=0.0, **right) | prompt,
        original(1, OMISSION, "2475", d_cos=0.041, rank=0, is_source=True),
        original(2, MISREAD, "24,750", role="negative", d_cos=0.058, rank=1),
        original(3, SLIP, "18,900", role="negative", d_cos=0.094, rank=2),
        original(4, f"{ANCHOR}\nSo the answer is 19,800.", "19,800", d_cos=0.02, **right),
        original(5, SUMMED, "116", d_cos=0.31, rank=3),
    ]
    rows[1]["role"] = "outside" if succeeded else "negative"
    rows.append(_reflection(rows[1], succeeded))
    scale = {"anchor": 1.41, "positive": 1.41, "negative": -0.47}
    return [updated(one, scale[one["role"]]) if one["role"] in scale else one for one in rows]


def _reflection(source: dict[str, Any], succeeded: bool) -> dict[str, Any]:
    copied = cut(f"<think>{OMISSION}\n{CUE}")[:-1]
    answer = "19,800" if succeeded else "2,475"
    pieces = [*copied, *cut(f"{REPAIRED}</think>\n<answer>{answer}</answer>")]
    return row(
        source["uid"],
        6,
        pieces,
        reflected_from=source["session"],
        response_mask=[0] * len(copied) + [1] * (len(pieces) - len(copied)),
        role="positive" if succeeded else "negative",
        acc=float(succeeded),
        reward=1.0 if succeeded else 0.1,
        pred=answer,
        read=answer.replace(",", ""),
        rule="number",
        rgr_prefix_tokens=len(copied),
        rgr_cue=CUE,
        rgr_outcome="succeeded" if succeeded else "failed",
    )


def plot() -> bytes:
    """A picture of three falling lines, wider than the page shows it."""
    pixels = np.full((480, 900, 3), 255, dtype=np.uint8)
    for top, colour in ((75, (30, 100, 180)), (33, (210, 110, 30)), (8, (190, 170, 130))):
        for x in range(60, 860):
            y = int(430 - 4.6 * top - 60 * np.sin(x / 130) * top / 75)
            pixels[max(y - 3, 0) : y + 3, x] = colour
    pixels[440:443, 40:880] = 90
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_rows(folder: Path, step: int, rows: Iterable[dict[str, Any]]) -> Path:
    """One step with these rows; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_step(folder, step, list(rows), {})
    return folder


def write_readable_groups(folder: Path, count: int) -> list[str]:
    """One step of readable groups, every other one repaired; their names."""
    names = [f"s000001p{place:05d}" for place in range(count)]
    rows = [readable_group(folder, name, at % 2 == 0) for at, name in enumerate(names)]
    write_rows(folder, 1, [row for group in rows for row in group])
    return names
