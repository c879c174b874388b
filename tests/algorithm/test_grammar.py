"""The one grammar of tags, and that verifier and token spans are the same reading of it.

That adapters pass the right bytes is not proved here.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from care_verl.algorithm import token_spans
from care_verl.algorithm.spans import rationale_pieces
from care_verl.grammar import TagSpec, regions
from care_verl.verifier import extract, verify

from . import qwen
from .test_spans import segmented_texts


@pytest.mark.parametrize(
    ("text", "prefilled", "rationale", "answers"),
    [
        ("<think>a</think><answer>1</answer>", False, "a", ["1"]),
        ("a</think><answer>1</answer>", True, "a", ["1"]),
        # Judged 1, and paid on the tokens of 2, when there were two parsers.
        ("<think>a</think><answer>1</answer><think>b<answer>2</answer></think>", False, "a", ["1"]),
        ("<think>a</think><answer>1</answer><think>b<answer>2</answer>", False, "a", ["1"]),
        ("<think>a</think><think>b</think><answer>1</answer>", False, "a", ["1"]),
        ("a</think><answer>1</answer>", False, None, ["1"]),
        ("<answer>1</answer></think>", False, None, []),
        ("<answer>1</answer><think>a", False, "a", []),
        ("<answer>1<think>a</think>2</answer>", False, "a", []),
        ("<think>a</think><answer>1<think>2</think></answer>", False, "a", ["1<think>2</think>"]),
        ("<think>a</think><answer>1<answer>2</answer>", False, "a", ["2"]),
        ("<think>a</think><answer>1</answer><answer>2", False, "a", ["1", "2"]),
        ("<answer>1</answer></answer>", False, None, ["1"]),
        ("", False, None, []),
        ("", True, "", []),
    ],
)
def test_regions_by_hand(
    text: str, prefilled: bool, rationale: str | None, answers: list[str]
) -> None:
    found = regions(text.encode(), TagSpec(), prefilled)
    held = found.rationale and text[slice(*found.rationale.content)]
    assert held == rationale
    assert [text[slice(*answer.content)] for answer in found.answers] == answers


@pytest.mark.parametrize(
    ("text", "reasoned"),
    [
        ("<think>5 + 2</think><answer>7</answer>", True),
        ("<think>5 + 2", True),
        ("<think>7</think><answer> 7\n</answer>", False),
        ("<think> \n</think><answer>7</answer>", False),
        ("<answer>7</answer>", False),
    ],
)
def test_what_counts_as_reasoned(text: str, reasoned: bool) -> None:
    assert token_spans(qwen.pieces(text), TagSpec()).reasoned is reasoned


@given(segmented_texts(), st.booleans())
def test_the_answer_that_is_judged_is_the_answer_that_is_paid(
    pieces: list[bytes], prefilled: bool
) -> None:
    """The tokens that are paid hold the judged answer, where it stands, and nothing needless."""
    text = b"".join(pieces)
    verdict = verify(text.decode(), "7", prefilled=prefilled)
    spans = token_spans(pieces, TagSpec(), prefilled)
    said = extract(text.decode(), prefilled=prefilled)
    if verdict.answer is None:
        return
    assert spans.answer is not None
    judged = said.answers[-1].encode()
    assert judged.decode().strip() == verdict.answer
    begin, stop = spans.answer
    before, inside = b"".join(pieces[:begin]), b"".join(pieces[begin:stop])
    place = text.find(b"<answer>" + judged + b"</answer>", max(0, len(before) - len(b"<answer>")))
    place += len(b"<answer>")
    assert len(before) <= place
    assert place + len(judged) <= len(before) + len(inside)
    # The first and the last paid token carry a byte of it.
    assert place < len(before) + len(pieces[begin])
    assert len(before) + len(inside) - len(pieces[stop - 1]) < place + len(judged)


@given(segmented_texts(), st.booleans())
def test_a_rationale_has_one_text(pieces: list[bytes], prefilled: bool) -> None:
    """Token parts joined are the bytes of the region, and the verifier's text where closed."""
    text = b"".join(pieces)
    region = regions(text, TagSpec(), prefilled).rationale
    parts = rationale_pieces(pieces, TagSpec(), prefilled)
    assert (region is None) == (parts is None)
    if region is not None and parts is not None:
        own = b"".join(part for _, part in parts)
        assert own == text[slice(*region.content)]
        assert all(part for _, part in parts)
        if region.closed:
            assert extract(text.decode(), prefilled=prefilled).rationale == own.decode()
