"""Qwen's real merges: `>B`, `.</` and `>The` are single tokens, and credit must still be right.

Text is cut by the tokenizer's own rule. A model may sample other cuts of the same text; that the
rule holds for any cut is in `test_spans.py`.
"""

from __future__ import annotations

import itertools
import string

import pytest
import torch

from care_verl.algorithm import CareConfig, RationaleAutomaton, region_weights, token_spans
from care_verl.grammar import TagSpec

from . import qwen
from .test_automaton import Harvest, positions

GAMMA = 0.005
LETTER = [b"<think", b">", b"three", b" bars", b"</", b"think", b">", b"\n", b"<answer", b">B"]
LETTER += [b"</", b"answer", b">", b""]

ONE_CHARACTER = [character for character in string.printable if not character.isspace()] + list(
    "π√°²½×÷≤≥∞你是ａ٨"
)
ANSWERS = [
    *("No", "Yes", "true", "false", "-3", "-0.5", "$5", r"\pi", r"\frac{1}{2}", "B. 12 cm", "(A)"),
    *("A)", "A.", "[1, 2]", "{3}", "12", "3.14", "1/2", "50%", "x=2", "2x + 1", "x^2", "<5", ">5"),
    *("≤ 3", "\n7\n", " 7", "7 ", "\t8", " ", "red", "light blue", "Tokyo", "New York", "2010"),
    *("5 km", "5km", "-x", "--", "...", "a<b", "a>b", "</b>", "<b>3</b>", "'", '"quoted"', "it's"),
    *("don't know", "A, C", "A and C", "None", "N/A", "é", "über", "北京", "答案：B", "选B", "B。"),
    *("1,000", "1e3", "10^{-3}", r"\boxed{5}", r"\text{cm}", r"$\frac{3}{4}$", "√2", "2√3", "90°"),
    *("x>0", "x<0", "a_b", "a/b", "a\\b", "a|b", "*", "**7**", "# 7", "`7`", "~7", "@", "&", "=7"),
    *("!7", "?", ";", ":", ",", "12:30", "2020-01-01", "1st", "I think 7", "The answer is B"),
    *("t", "think", "answer", "/answer", "answer>", "<answer", "</answer", "<", ">", "</", "><"),
    *(">>", "<<", "\n", "\n\n", "😀", "👍🏽", "ⅷ", "\u00a0", "0", "00", "007", "+7", "±2"),
]  # fmt: skip


def byte_weights(text: bytes, rationale: bytes, answer: bytes, acc: int) -> list[float]:
    """The rule on bytes, of a text put together from these parts."""
    head, middle = b"<think>", b"</think>\n<answer>"
    parts = [(head, 0.0), (rationale, GAMMA * acc), (middle, 0.0), (answer, 1.0)]
    parts.append((b"</answer>", 0.0))
    assert text == b"".join(part for part, _ in parts)
    return [weight for part, weight in parts for _ in part]


def weights(pieces: list[bytes], acc: int) -> list[float]:
    spans = [token_spans(pieces, TagSpec())]
    mask = torch.ones(1, len(pieces))
    return region_weights(spans, torch.tensor([acc]), mask, CareConfig())[0].tolist()


def test_a_letter_glued_to_its_tag() -> None:
    """`>B` alone has weight 1; the rationale is `three`, ` bars`."""
    assert weights(LETTER, 0) == [0] * 9 + [1] + [0] * 4
    assert weights(LETTER, 1) == pytest.approx([0, 0, GAMMA, GAMMA, *[0] * 5, 1, *[0] * 4])
    spans = token_spans(LETTER, TagSpec())
    assert (spans.think_len, spans.answer_len, spans.reasoned) == (2, 1, True)


def test_the_vocabulary_is_the_one_that_merges() -> None:
    """What the fault was about exists there: tags and content in one token."""
    cut = qwen.pieces("<think>The sum.</think>\n<answer>B</answer>")
    assert {b">The", b".</", b">B"} <= set(cut)


@pytest.mark.parametrize("rationale", ["three bars.", "The sum is 5", "5", ">", "是", "\nLong.\n"])
def test_weights_by_token_are_weights_by_byte(rationale: str) -> None:
    """For every one-character answer and a hundred others: a token's weight is its best byte's."""
    assert len(set(ANSWERS)) > 100
    for answer, acc in itertools.product([*ONE_CHARACTER, *ANSWERS], (0, 1)):
        text = f"<think>{rationale}</think>\n<answer>{answer}</answer>"
        pieces = qwen.pieces(text)
        by_byte = byte_weights(text.encode(), rationale.encode(), answer.encode(), acc)
        ends = list(itertools.accumulate(map(len, pieces), initial=0))
        expected = [max(by_byte[a:b]) for a, b in itertools.pairwise(ends)]
        assert weights(pieces, acc) == pytest.approx(expected), answer


@pytest.mark.parametrize("text", ["<answer></answer>", "<think>The sum.</think>\nB"])
def test_missing_is_decided_by_bytes(text: str) -> None:
    pieces = qwen.pieces(text)
    assert weights(pieces, 0) == [1.0] * len(pieces)


def test_the_harvest_pools_the_same_tokens() -> None:
    """Over the whole vocabulary, the table commits the rows of `token_spans(...).rationale`."""
    automaton = RationaleAutomaton.build(qwen.vocabulary(), TagSpec(), [qwen.END])
    for rationale, opened in itertools.product(
        ["The sum.", "5", "a<b", "x</", "</thin", "是。", "", "\n\n", "<", "</think", "1 <think>2"],
        (True, False),
    ):
        text = f"{'' if opened else '<think>'}{rationale}</think>\n<answer>B</answer>"
        ids = qwen.encoding().encode_ordinary(text)
        harvest = Harvest(automaton, [opened], len(ids))
        for t, token in enumerate(ids):
            row = torch.eye(len(ids))[t : t + 1]
            harvest.step(torch.tensor([token]), row, torch.tensor([True]))
        spans = token_spans([qwen.vocabulary()[i] for i in ids], TagSpec(), prefilled=opened)
        assert positions(harvest.S[0]) == list(range(*(spans.rationale or (0, 0)))), text
