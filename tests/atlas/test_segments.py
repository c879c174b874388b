"""Tokens, their credit and marks as runs of text."""

from __future__ import annotations

import pytest

from care_verl.tools.atlas.segments import LEVELS, level, region_sums, segments
from care_verl.tools.atlas.tokens import ANSWER, OTHER, RATIONALE, TAG, Token, tokens_of

from .made import cut, row, text, updated


def test_tokens_have_region_credit_and_text() -> None:
    one = row("u", 0, cut(text("one two", "7")), acc=1.0, role="anchor")
    found = tokens_of(updated(one, 1.4, gamma=0.5))
    assert [(token.text, token.region) for token in found] == [
        ("<think>", TAG),
        ("one", RATIONALE),
        (" two", RATIONALE),
        ("</think>", TAG),
        ("\n", OTHER),
        ("<answer>", TAG),
        ("7", ANSWER),
        ("</answer>", TAG),
        ("", OTHER),
    ]
    assert [token.credit for token in found] == pytest.approx([0, 0.35, 0.35, 0, 0, 0, 0.7, 0, 0])
    assert region_sums(found) == pytest.approx({RATIONALE: 0.7, ANSWER: 0.7})


def test_a_character_cut_by_tokens_belongs_to_the_last_of_them() -> None:
    one = row("u", 0, ["€".encode()[:2], "€".encode()[2:], b"x"])
    assert [token.text for token in tokens_of(one)] == ["", "€", "x"]


def test_bytes_that_are_no_utf8_are_shown_by_value() -> None:
    one = row("u", 0, [b"a\xff", b"b\xe2\x82"])
    assert [token.text for token in tokens_of(one)] == [r"a\xff", r"b\xe2\x82"]


def test_a_response_without_bytes_is_one_token() -> None:
    one = row("u", 0, cut("plain")) | {"pieces": None}
    assert tokens_of(one) == [Token("plain", OTHER, None, False)]


def test_strength_grows_with_the_root_and_stays_within_its_steps() -> None:
    assert [level(a, 2.0) for a in (None, 0.0, 1e-9, 0.005, -0.5, 2.0, -2.0)] == [
        0,
        0,
        1,
        1,
        LEVELS // 2,
        LEVELS,
        LEVELS,
    ]
    assert level(0.1, 0.0) == 0
    strengths = [level(a / 100, 1.0) for a in range(101)]
    assert strengths == sorted(strengths)
    assert set(strengths) == set(range(LEVELS + 1))


def test_runs_break_where_region_credit_or_mark_change() -> None:
    tokens = [
        Token("one ", RATIONALE, 0.1, True),
        Token("two ", RATIONALE, 0.1, False),
        Token("three", RATIONALE, 0.1, False),
        Token("7", ANSWER, -1.0, False),
    ]
    found = segments(tokens, {"added": [(6, 10)], "replaced": [(13, 14)]}, 1.0)
    assert [(part.text, part.given, part.level, part.marks) for part in found] == [
        ("one ", True, 2, ()),
        ("tw", False, 2, ()),
        ("o th", False, 2, ("added",)),
        ("ree", False, 2, ()),
        ("7", False, 6, ("replaced",)),
    ]


def test_ranges_of_several_rows_may_overlap() -> None:
    tokens = [Token("abcdef", RATIONALE, None, False)]
    found = segments(tokens, {"1": [(0, 4)], "2": [(2, 6)], "3": [(4, 5)]}, 0.0)
    assert [(part.text, part.marks) for part in found] == [
        ("ab", ("1",)),
        ("cd", ("1", "2")),
        ("e", ("2", "3")),
        ("f", ("2",)),
    ]


def test_no_text_is_lost() -> None:
    one = row("u", 0, cut(text("one two, three", "7")), acc=1.0)
    found = segments(tokens_of(one), {"added": [(0, 3), (9, 40)]}, 0.0)
    assert "".join(part.text for part in found) == one["response"]
