"""How much an answer that the verifier called wrong looks like a right one."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import SequenceMatcher

from care_verl.tools.atlas.groups import Row
from care_verl.tools.court import second_opinion

NEARLY = 0.8
"""Similarity from which spelling alone makes an answer suspicious."""
_LONGEST = 500
# A token may hold the answer and a piece of a tag beside it: `>B`, `5</`.
_END_OF_TAG = re.compile(r"^[^<>]*>(?:<[\w-]+>)?|^<[\w-]+>")
_BEGIN_OF_TAG = re.compile(r"<(?:/[\w-]*>?)?$")


@dataclass(frozen=True)
class Suspicion:
    """score: 1 where a second reading calls the answer right, else similarity to the gold, below 1.

    reason: what the score rests on.
    """

    score: float
    reason: str


def suspicion(row: Row, gold: str | None, data_source: str) -> Suspicion | None:
    """Whether the row may be a false negative of the verifier; None where nothing says so.

    Only for rows with acc 0 that have an answer: as the verifier wrote it down, or else what stands
    in the answer's region, where it found none or several. The court (`docs/court.md`) decides:
    "same" gives 1, "different" nothing. Where it cannot say, it is the ratio of matching characters
    after Unicode normalisation (NFKC), without case and repeated spaces, from `NEARLY` on.
    """
    if row["acc"] == 1 or not gold:
        return None
    answer = row["pred"] or _answer_region(row)
    if not answer:
        return None
    opinion = second_opinion(answer, gold, data_source)
    if opinion.judgement == "same":
        return Suspicion(1.0, f"second reading: {opinion.reason}")
    if opinion.judgement == "different":
        return None
    ratio = _similarity(answer, gold)
    if ratio < NEARLY:
        return None
    # A ratio of 1 is a matter of spelling, and less than a reading that says "same".
    return Suspicion(min(ratio, 0.999), f"{ratio:.0%} alike; second reading: {opinion.reason}")


def _answer_region(row: Row) -> str:
    if row["pieces"] is None or row["answer"] is None:
        return ""
    begin, end = row["answer"]
    text = b"".join(row["pieces"][begin:end]).decode(errors="replace")
    tags = row["tags"] or []
    if any(first <= begin < stop for first, stop in tags):
        text = _END_OF_TAG.sub("", text)
    if any(first < end <= stop for first, stop in tags):
        text = _BEGIN_OF_TAG.sub("", text)
    return text.strip()


def _similarity(one: str, other: str) -> float:
    if max(len(one), len(other)) > _LONGEST:
        return 0.0
    return SequenceMatcher(None, _plain(one), _plain(other), autojunk=False).ratio()


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
