"""Rationale and answer of a response, over its tokens.

A real vocabulary merges tags with what stands beside them: `>B` and `.</` are single tokens of
Qwen's. A rule that gives such a token to the tag leaves a one-letter answer without any token. So
**a token that carries a byte of the rationale or of the answer belongs to it**, and whether there
is one is decided by the bytes (`care_verl.grammar`), never by the tokens.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from care_verl.grammar import Mark, Range, Region, TagSpec, regions

Span = tuple[int, int]
"""A half-open range of token positions in a response."""


@dataclass(frozen=True)
class TokenSpans:
    """Where a response's regions and tags lie; None is a region or tag that is not there.

    A region without a byte is an empty range. `end` is the number of text tokens: the position of
    the end-of-sequence token, where the response has one. Ranges of regions and tags overlap where
    one token carries bytes of both. `reasoned` says whether the rationale holds more than white
    space and more than the answer once again.
    """

    rationale: Span | None
    answer: Span | None
    think_open: Span | None
    think_close: Span | None
    answer_open: Span | None
    answer_close: Span | None
    end: int
    reasoned: bool = False

    @property
    def think_len(self) -> int:
        """T_think: tokens of the rationale; 0 without one."""
        return self.rationale[1] - self.rationale[0] if self.rationale else 0

    @property
    def answer_len(self) -> int:
        """T_ans: tokens of the answer; 0 without one."""
        return self.answer[1] - self.answer[0] if self.answer else 0


def token_spans(pieces: Sequence[bytes], tags: TagSpec, prefilled: bool = False) -> TokenSpans:
    """Finds rationale and answer by the grammar, in time linear in the response's bytes.

    **Settled**, where the paper is silent: a token is inside a region if any of its bytes is.

    Args:
        pieces: bytes of each response token, T of them. An empty piece ends the text: pass `b""`
            for end-of-sequence and padding tokens.
        tags: names of the tags.
        prefilled: the prompt already holds the opening tag of the rationale.
    """
    end = _text_tokens(pieces)
    text = b"".join(pieces[:end])
    offsets = _offsets(pieces[:end])
    found = regions(text, tags, prefilled)
    rationale, think_open, think_close = _spans(offsets, found.rationale)
    answer, answer_open, answer_close = _spans(offsets, found.answer)
    return TokenSpans(
        rationale=rationale,
        answer=answer,
        think_open=think_open,
        think_close=think_close,
        answer_open=answer_open,
        answer_close=answer_close,
        end=end,
        reasoned=_reasoned(text, found.rationale, found.answer),
    )


def rationale_pieces(
    pieces: Sequence[bytes], tags: TagSpec, prefilled: bool = False
) -> list[tuple[int, bytes]] | None:
    """The tokens of the rationale, each with those of its bytes that are rationale.

    Of a token such as `>The` or `.</` that is a part.

    Args:
        pieces, tags, prefilled: as of `token_spans`.

    Returns:
        Positions and bytes; None without a rationale.
    """
    whole = pieces[: _text_tokens(pieces)]
    found = regions(b"".join(whole), tags, prefilled).rationale
    if found is None:
        return None
    offsets, (begin, stop) = _offsets(whole), found.content
    return [
        (t, whole[t][max(0, begin - offsets[t]) : stop - offsets[t]])
        for t in range(*_touching(offsets, found.content))
    ]


def _reasoned(text: bytes, rationale: Region | None, answer: Region | None) -> bool:
    thought = text[slice(*rationale.content)].strip() if rationale else b""
    return bool(thought) and (answer is None or thought != text[slice(*answer.content)].strip())


def _text_tokens(pieces: Sequence[bytes]) -> int:
    return next((i for i, piece in enumerate(pieces) if not piece), len(pieces))


def _offsets(pieces: Sequence[bytes]) -> list[int]:
    """Where each piece begins, and the length of all."""
    return [0, *accumulate(map(len, pieces))]


def _spans(
    offsets: list[int], region: Region | None
) -> tuple[Span | None, Span | None, Span | None]:
    """Tokens of the content, of the opening and of the closing tag."""
    if region is None:
        return None, None, None
    content = _touching(offsets, region.content)
    return content, _tag(offsets, region.opened), _tag(offsets, region.closed)


def _tag(offsets: list[int], mark: Mark | None) -> Span | None:
    return None if mark is None else _touching(offsets, mark.range)


def _touching(offsets: list[int], bytes_: Range) -> Span:
    """Tokens that carry any byte of a range; an empty range where it has none."""
    start, stop = bytes_
    if start == stop:
        at = bisect_left(offsets, start)
        return at, at
    return bisect_right(offsets, start) - 1, bisect_left(offsets, stop)
