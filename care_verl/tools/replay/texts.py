"""Spans of a response of which only the text is known, in words instead of tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from care_verl.algorithm import token_spans
from care_verl.algorithm.spans import rationale_pieces
from care_verl.grammar import TagSpec

_WORD = re.compile(rb"\s*\S+")


@dataclass(frozen=True)
class Measured:
    """length, think_len, answer_len: words of the response and of its spans."""

    length: int
    think_len: int
    answer_len: int
    rationale: str
    reasoned: bool


def measured(response: str, tags: TagSpec, prefilled: bool) -> Measured:
    """Rationale and answer of a response by `token_spans`, a word standing for a token."""
    pieces = pieces_of(response, tags)
    spans = token_spans(pieces, tags, prefilled)
    own = rationale_pieces(pieces, tags, prefilled) or []
    rationale = b"".join(part for _, part in own).decode("utf-8", "replace").strip()
    return Measured(len(pieces), spans.think_len, spans.answer_len, rationale, spans.reasoned)


def pieces_of(text: str, tags: TagSpec) -> list[bytes]:
    """The text's words, each with the white space before it; a tag is a piece of its own."""
    named = (tags.think_open, tags.think_close, tags.answer_open, tags.answer_close)
    parts = re.split(b"(" + b"|".join(map(re.escape, named)) + b")", _encoded(text))
    return [piece for part in parts for piece in ([part] if part in named else _WORD.findall(part))]


def _encoded(text: str) -> bytes:
    # JSON can hold half of a surrogate pair, which UTF-8 cannot.
    return text.encode("utf-8", "replace")
