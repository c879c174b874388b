"""Token spans: hand-made responses, and the rule that decides every token, checked byte by byte.

Pieces are made by hand; this does not prove anything about a real tokenizer's pieces.
"""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from care_verl.algorithm import token_spans
from care_verl.grammar import TagSpec

FRAGMENTS = [
    b"<think>", b"</think>", b"<answer>", b"</answer>", b"x", b"<", b"</", b"</thi", b">", b"7 ",
]  # fmt: skip


@st.composite
def segmented_texts(draw: st.DrawFn) -> list[bytes]:
    """Texts full of tags and half tags, cut into pieces anywhere."""
    text = b"".join(draw(st.lists(st.sampled_from(FRAGMENTS), max_size=12)))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=30)))
    bounds = [0, *(cut for cut in cuts if cut < len(text)), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(bounds) if a < b]


def test_a_response_as_asked_for() -> None:
    pieces = [b"<think>", b"a", b" b", b"</think>", b"\n", b"<answer>", b"7", b"</answer>", b""]
    spans = token_spans(pieces, TagSpec())
    assert (spans.think_open, spans.rationale, spans.think_close) == ((0, 1), (1, 3), (3, 4))
    assert (spans.answer_open, spans.answer, spans.answer_close) == ((5, 6), (6, 7), (7, 8))
    assert (spans.think_len, spans.answer_len, spans.end) == (2, 1, 8)


def test_tokens_that_hold_content_and_a_piece_of_a_tag_belong_to_both() -> None:
    """`.</` ends the rationale and begins its closing tag; `><` closes a tag and opens another."""
    pieces = [b"<", b"think", b">\n", b"so", b".</", b"think", b"><", b"answer", b">", b"7"]
    pieces += [b"</answer>"]
    spans = token_spans(pieces, TagSpec())
    assert (spans.think_open, spans.rationale, spans.think_close) == ((0, 3), (2, 5), (4, 7))
    assert (spans.answer_open, spans.answer, spans.answer_close) == ((6, 9), (9, 10), (10, 11))


@pytest.mark.parametrize(
    ("text", "prefilled", "rationale", "answer"),
    [
        ("a</think><answer>7</answer>", True, "a", "7"),
        ("<think>a", False, "a", None),
        ("<think>a</thi", False, "a</thi", None),
        ("<think>a<answer>7</answer>", False, "a<answer>7</answer>", None),
        ("<think>a</think><answer>7", False, "a", "7"),
        ("<think><answer>1</answer></think><answer>2</answer>", False, "<answer>1</answer>", "2"),
        ("<think>a</think><answer>1</answer><answer>2</answer>x</answer>", False, "a", "2"),
        ("<answer>7</answer>", False, None, "7"),
        ("<answer>1</answer><think>a</think>", False, "a", None),
        ("a</think>b", False, None, None),
        ("<think>a<think>b</think>c</think>", False, "a<think>b", None),
        ("", False, None, None),
        ("", True, "", None),
        ("<think></think><answer></answer>", False, "", ""),
    ],
)
def test_malformed_responses(
    text: str, prefilled: bool, rationale: str | None, answer: str | None
) -> None:
    """One byte a piece, so that token ranges are byte ranges."""
    spans = token_spans([bytes([b]) for b in text.encode()], TagSpec(), prefilled)

    def inside(span: tuple[int, int] | None) -> str | None:
        return None if span is None else text[slice(*span)]

    assert (inside(spans.rationale), inside(spans.answer)) == (rationale, answer)


def test_an_empty_piece_ends_the_text() -> None:
    spans = token_spans([b"<think>", b"a", b"", b"b", b"</think>"], TagSpec())
    assert (spans.rationale, spans.end, spans.think_close) == ((1, 2), 2, None)


def test_other_tag_names() -> None:
    pieces = [b"<reasoning>", b"a", b"</reasoning>", b"<final-1>", b"b"]
    spans = token_spans(pieces, TagSpec("reasoning", "final-1"))
    assert (spans.rationale, spans.answer) == ((1, 2), (4, 5))


@pytest.mark.parametrize("name", ["", "a b", "a>", "</a", "ä", "a/"])
def test_tag_names_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match="expected a tag name"):
        TagSpec(think=name)
    with pytest.raises(ValueError, match="two different names"):
        TagSpec("answer", "answer")


@given(segmented_texts(), st.booleans())
def test_every_token_by_its_bytes(pieces: list[bytes], prefilled: bool) -> None:
    """A token is in the rationale exactly if any of its bytes is, found by a regular expression."""
    text = b"".join(pieces)
    opening = b"" if prefilled else b"<think>"
    match = re.search(opening + rb"((?s:.*?))(?:</think>|\Z)", text)
    inside = match.span(1) if match else (0, 0)
    spans = token_spans(pieces, TagSpec(), prefilled)
    at = 0
    for token, piece in enumerate(pieces):
        carries = max(at, inside[0]) < min(at + len(piece), inside[1])
        start, stop = spans.rationale or (0, 0)
        assert (start <= token < stop) == carries
        at += len(piece)
