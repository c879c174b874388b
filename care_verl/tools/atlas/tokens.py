"""A response as tokens of text, each with its region and its credit."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from care_verl.tools.atlas.groups import Row

RATIONALE, ANSWER, TAG, OTHER = REGIONS = ("rationale", "answer", "tag", "other")


@dataclass(frozen=True)
class Token:
    """text: its characters; one that tokens share belongs to the last of them.

    credit: a_t (Eq. 11); None in rows that are not updated.
    given: it was not decoded but copied into a reflection's prompt.
    """

    text: str
    region: str
    credit: float | None
    given: bool


def tokens_of(row: Row) -> list[Token]:
    """The response's tokens, T of them; one for all of it where their bytes are not in the record.

    Bytes that are no UTF-8 are shown by their value, as `\\xff`.
    """
    pieces: Sequence[bytes] | None = row["pieces"]
    if pieces is None:
        return [Token(row["response"], OTHER, None, False)]
    credit = row["credit"] if row["credit"] is not None else [None] * len(pieces)
    columns = zip(
        _texts(pieces), _regions(row, len(pieces)), credit, row["response_mask"], strict=True
    )
    return [Token(text, region, a, not mask) for text, region, a, mask in columns]


def _texts(pieces: Sequence[bytes]) -> list[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    last = len(pieces) - 1
    return [decoder.decode(piece, final=place == last) for place, piece in enumerate(pieces)]


def _regions(row: Row, length: int) -> list[str]:
    regions = [OTHER] * length
    spans: Iterable[tuple[str, Sequence[int] | None]] = (
        *((TAG, tag) for tag in row["tags"] or []),
        # A token of content and a piece of a tag, such as `>B`, is trained as content.
        (RATIONALE, row["rationale"]),
        (ANSWER, row["answer"]),
    )
    for region, span in spans:
        if span is not None:
            begin, end = span
            regions[begin:end] = [region] * (end - begin)
    return regions
