"""A group whose every text means harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .made import cut, readable_group

SCRIPT = "<script>window.harmed = 1</script>"
IMAGE = '<img src="x" onerror="window.harmed = 1">'
BREAK = '"></script></style></textarea><svg onload="window.harmed = 1">'
TEMPLATE = "{{ 7*7 }}{% if 1 %}"
UNSEEN = "a\0b\u202egnp\u2066c\rd"
SEEN = r"a\x00b\u202egnp\u2066c\x0dd"
HARM = f"{SCRIPT}{IMAGE}{BREAK}{TEMPLATE}{UNSEEN}"
SHOWN = f"{SCRIPT}{IMAGE}{BREAK}{TEMPLATE}{SEEN}"
"""`HARM` as the page has to show it."""
UID = "s000001p00002"
LONG = 100_000


def harmful_group(folder: Path) -> list[dict[str, Any]]:
    """All texts are `HARM`; one response has broken UTF-8, one has 100 kB."""
    rows = readable_group(folder, UID)
    rows[0] |= {"question": HARM, "gold": HARM, "images": ["../../nothing.png"]}
    for row in rows:
        row |= {"data_source": HARM, "index": HARM, "pred": HARM, "read": HARM, "rule": HARM}
    rows[2] |= _said(HARM.encode())
    rows[3] |= _said(b"broken \xff\xc3( and \xe2\x82", b"\xac whole")
    rows[5] |= _said(b"long " * (LONG // 5))
    rows[6] |= {"rgr_cue": HARM}
    rows[1] |= {"rgr_skipped": HARM}
    return rows


def _said(*pieces: bytes) -> dict[str, Any]:
    """What a response with these tokens in its rationale changes."""
    tokens = [b"<think>", *pieces, *cut("</think><answer>1</answer>")]
    end = len(tokens) - 1
    inside = len(pieces)
    return {
        "pieces": tokens,
        "response": b"".join(tokens).decode(errors="replace"),
        "response_mask": [1] * len(tokens),
        "rationale": [1, 1 + inside],
        "tags": [[0, 1], [1 + inside, 2 + inside], [2 + inside, 3 + inside], [end - 1, end]],
        "answer": [3 + inside, end - 1],
        "end": end,
        "credit": [-0.1] * len(tokens),
    }
