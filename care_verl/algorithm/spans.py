"""Rationale and answer spans of a response, over its tokens.

A tag may be spread over several tokens, and one token may hold content and a piece of a tag
(`.</` is a single token of Qwen's vocabulary), so everything is decided on the tokens' bytes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from care_verl.algorithm.settings import TagName, is_tag_name

Span = tuple[int, int]
"""A half-open range of token positions in a response."""


@dataclass(frozen=True)
class TagSpec:
    """Names of the two tags. Raises ValueError where a name is no tag name, or both are equal."""

    think: str = "think"
    answer: str = "answer"

    def __post_init__(self) -> None:
        for name in (self.think, self.answer):
            if not is_tag_name(name):
                raise ValueError(f"tag {name!r} is not allowed; expected {TagName.allowed}")
        if self.think == self.answer:
            raise ValueError(f"both tags are {self.think!r}; expected two different names")

    @property
    def think_open(self) -> bytes:
        return b"<" + self.think.encode() + b">"

    @property
    def think_close(self) -> bytes:
        return b"</" + self.think.encode() + b">"

    @property
    def answer_open(self) -> bytes:
        return b"<" + self.answer.encode() + b">"

    @property
    def answer_close(self) -> bytes:
        return b"</" + self.answer.encode() + b">"


@dataclass(frozen=True)
class TokenSpans:
    """Where a response's regions and tags lie; None is a region or tag that is not there.

    `end` is the number of text tokens: the position of the end-of-sequence token, where the
    response has one. Ranges of two tags overlap where one token carries bytes of both.
    """

    rationale: Span | None
    answer: Span | None
    think_open: Span | None
    think_close: Span | None
    answer_open: Span | None
    answer_close: Span | None
    end: int

    @property
    def think_len(self) -> int:
        """T_think: tokens inside the rationale; 0 without one."""
        return self.rationale[1] - self.rationale[0] if self.rationale else 0

    @property
    def answer_len(self) -> int:
        """T_ans: tokens inside the answer; 0 without one."""
        return self.answer[1] - self.answer[0] if self.answer else 0

    @property
    def think_closed(self) -> bool:
        """Whether the rationale was opened and closed."""
        return self.think_close is not None

    @property
    def answer_closed(self) -> bool:
        """Whether the answer was opened and closed."""
        return self.answer_close is not None


def token_spans(pieces: Sequence[bytes], tags: TagSpec, prefilled: bool = False) -> TokenSpans:
    """Finds rationale and answer (Section 3.1), in time linear in the response's bytes.

    Settled here, where the paper is silent:

    - A token is inside a span only if all its bytes are; a token with any byte of a tag belongs
      to the tag.
    - The rationale runs from the first opening tag (from the start of the response when
      `prefilled`) to the first closing tag after it.
    - The answer runs from the last `<answer>` after the rationale's close to the first
      `</answer>` after that. Without any rationale the whole response is searched; inside a
      rationale that never closes there is no answer.
    - A missing closing tag runs the span to the end of the response's text.
    - An empty piece ends the text: pass `b""` for end-of-sequence and padding tokens.

    Args:
        pieces: bytes of each response token, T of them.
        tags: names of the tags.
        prefilled: the prompt already holds the opening tag of the rationale.
    """
    end = next((i for i, piece in enumerate(pieces) if not piece), len(pieces))
    text = b"".join(pieces[:end])
    offsets = [0, *accumulate(map(len, pieces[:end]))]

    think_open = None if prefilled else _find(text, tags.think_open, 0)
    think_close = None
    rationale = None
    search_from: int | None = 0
    if prefilled or think_open:
        start = think_open[1] if think_open else 0
        think_close = _find(text, tags.think_close, start)
        rationale = (start, think_close[0] if think_close else len(text))
        search_from = think_close[1] if think_close else None

    answer_open = answer_close = answer = None
    at = -1 if search_from is None else text.rfind(tags.answer_open, search_from)
    if at >= 0:
        answer_open = (at, at + len(tags.answer_open))
        answer_close = _find(text, tags.answer_close, answer_open[1])
        answer = (answer_open[1], answer_close[0] if answer_close else len(text))

    return TokenSpans(
        rationale=_inside(offsets, rationale),
        answer=_inside(offsets, answer),
        think_open=_touching(offsets, think_open),
        think_close=_touching(offsets, think_close),
        answer_open=_touching(offsets, answer_open),
        answer_close=_touching(offsets, answer_close),
        end=end,
    )


def answer_tokens(pieces: Sequence[bytes], tags: TagSpec, spans: TokenSpans) -> Span | None:
    """Tokens that carry any byte of the answer; None where it has none.

    `spans.answer` and, where one token carries the answer and a piece of a tag (`>A` after
    `<answer`), that token too: without it a one-letter answer would have no token at all.

    Args:
        pieces: bytes of each response token; spans: what `token_spans` found in them.
    """
    if spans.answer_open is None:
        return None
    first = spans.answer_open[0]
    part = pieces[first : spans.answer_close[1] if spans.answer_close else spans.end]
    text = b"".join(part)
    begin = text.rfind(tags.answer_open) + len(tags.answer_open)
    end = text.find(tags.answer_close, begin) if spans.answer_close else len(text)
    touched = _touching([0, *accumulate(map(len, part))], (begin, end)) if end > begin else None
    return (first + touched[0], first + touched[1]) if touched else None


def _find(text: bytes, tag: bytes, start: int) -> Span | None:
    at = text.find(tag, start)
    return None if at < 0 else (at, at + len(tag))


def _inside(offsets: list[int], byte_range: Span | None) -> Span | None:
    """Tokens that lie wholly inside a range of bytes."""
    if byte_range is None:
        return None
    start = bisect_left(offsets, byte_range[0])
    return start, max(start, bisect_right(offsets, byte_range[1]) - 1)


def _touching(offsets: list[int], byte_range: Span | None) -> Span | None:
    """Tokens that carry any byte of a range of bytes."""
    if byte_range is None:
        return None
    return bisect_right(offsets, byte_range[0]) - 1, bisect_left(offsets, byte_range[1])
