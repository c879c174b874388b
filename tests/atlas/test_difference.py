"""Words that differ are found, and only those."""

from __future__ import annotations

from care_verl.tools.atlas.difference import LONGEST, difference
from care_verl.tools.atlas.tokens import ANSWER, OTHER, RATIONALE, Token


def tokens(rationale: str, answer: str = "1", given: str = "") -> list[Token]:
    return [
        Token("<think>", OTHER, None, False),
        Token(given, RATIONALE, None, True),
        *(Token(f"{word} ", RATIONALE, None, False) for word in rationale.split()),
        Token("</think>", OTHER, None, False),
        Token(answer, ANSWER, None, False),
    ]


def cut_out(words: list[Token], ranges: list[tuple[int, int]]) -> list[str]:
    text = "".join(token.text for token in words)
    return [text[begin:end] for begin, end in ranges]


def found(ours: list[Token], anchor: list[Token]) -> tuple[list[str], list[str], list[str]]:
    one = difference(ours, anchor)
    assert one.complete
    return cut_out(ours, one.added), cut_out(ours, one.replaced), cut_out(anchor, one.missing)


def test_replaced_words_are_marked_on_both_sides() -> None:
    result = found(tokens("red is 12 high", "7"), tokens("red is 14.5 high", "8"))
    assert result == ([], ["12", "7"], ["14.5", "8"])


def test_added_and_missing_words_stand_on_one_side() -> None:
    assert found(tokens("red is not 12"), tokens("red is 12")) == (["not"], [], [])
    assert found(tokens("red is 12"), tokens("red is not 12")) == ([], [], ["not"])


def test_case_and_white_space_do_not_count() -> None:
    assert found(tokens("Red  IS 12"), tokens("red is 12")) == ([], [], [])


def test_a_word_in_the_answer_is_not_found_in_the_rationale() -> None:
    assert found(tokens("five", "5"), tokens("5", "five")) == ([], ["five", "5"], ["5", "five"])


def test_what_a_reflection_was_given_is_not_compared() -> None:
    ours = tokens("red is 14", given="red is 12 Wait ")
    assert found(ours, tokens("red is 14")) == ([], [], [])


def test_a_missing_region_lacks_all_words() -> None:
    without = [Token("no tags here", OTHER, None, False)]
    assert found(without, tokens("red", "7")) == ([], [], ["red", "7"])


def test_a_region_too_long_is_not_compared_and_the_other_is() -> None:
    ours, anchor = tokens("long " * (LONGEST + 1), "7"), tokens("short", "8")
    one = difference(ours, anchor)
    assert not one.complete
    assert (cut_out(ours, one.replaced), cut_out(anchor, one.missing)) == (["7"], ["8"])
