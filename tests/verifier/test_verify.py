"""Golden verdicts, and what must hold for any text at all."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from care_verl.verifier import extract, gold_problem, verify

RIGHT = "<think>red3 blue5</think><answer>8</answer>"


def scores(response: str, gold: object = "8", **tags: object) -> tuple[float, float]:
    verdict = verify(response, gold, **tags)
    return verdict.acc, verdict.fmt


@pytest.mark.parametrize(
    ("response", "acc", "fmt"),
    [
        (RIGHT, 1, 1),
        (f" \n{RIGHT}\n", 1, 1),
        ("<think></think> <answer> 8 </answer>", 1, 1),
        ("<think>a</think><answer>9</answer>", 0, 1),
        ("<think>a</think><answer> </answer>", 0, 0),
        ("<think>a</think><answer></answer>", 0, 0),
        ("<think>a</think>so<answer>8</answer>", 1, 0),
        ("so<think>a</think><answer>8</answer>", 1, 0),
        (f"{RIGHT}so", 1, 0),
        ("8", 0, 0),
        ("", 0, 0),
        ("<answer>8</answer>", 1, 0),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_plain_responses(response: str, acc: float, fmt: float) -> None:
    assert scores(response) == (acc, fmt)


@pytest.mark.parametrize(
    "response",
    [
        "<think>a</think><answer>8",
        "<think>a</think><answer>8</answer><answer>8",
        "<think>a <answer>8</answer>",
        "<think>a <answer>8</answer></think>",
        "<answer>8</answer><think>a</think>",
        "<answer>8</answer></think>",
        "<think>a</think><answer>7</answer><answer>8</answer>",
        "<think>a</think><answer>8</answer><think>b</think><answer>7</answer>",
    ],
)
def test_no_single_answer_after_the_rationale_is_no_answer(response: str) -> None:
    verdict = verify(response, "8")
    assert (verdict.acc, verdict.fmt, verdict.answer) == (0, 0, None)


@pytest.mark.parametrize(
    "response",
    [
        "<think>a <answer>7</answer></think><answer>8</answer>",
        "<think>a</think><answer>8</answer><answer>8.0</answer>",
        "<think>a</think><answer>7<answer>8</answer>",
        "<think>a<think>b</think><answer>8</answer>",
        "a</think><answer>8</answer>",
        "<think>a</think><answer>8</answer><think>b</think>",
        "<answer>7</answer><think>a</think><answer>8</answer>",
    ],
)
def test_the_last_answer_counts_in_a_malformed_response(response: str) -> None:
    assert scores(response) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "gold", "acc", "rule"),
    [
        ("8", 8, 1, "number"),
        ("08", "8", 1, "number"),
        ("+8", "8", 1, "number"),
        ("8.0", "8", 1, "number"),
        (".5", "0.50", 1, "number"),
        ("-8", "8", 0, "number"),
        ("8 bars", "8", 1, "number"),
        ("٨", "8", 1, "number"),
        ("0.30000000000000004", "0.3", 1, "number"),
        ("0.3000001", "0.3", 0, "number"),
        ("9" * 65, "9" * 65, 1, "latex"),
        ("1e3", "1000", 1, "number"),
        ("Light  BLUE", "light blue", 1, "text"),
        ("red", "blue", 0, "text"),
        ("", "", 0, "none"),
    ],
)
def test_rules(answer: str, gold: object, acc: float, rule: str) -> None:
    verdict = verify(f"<think>a</think><answer>{answer}</answer>", gold)
    assert (verdict.acc, verdict.rule) == (acc, rule)


def test_tag_names() -> None:
    response = "<reasoning>a</reasoning><final>8</final>"
    assert scores(response, think_tag="reasoning", answer_tag="final") == (1, 1)
    assert scores(response) == (0, 0)


def test_prefilled_rationale() -> None:
    assert scores("red3 blue5</think><answer>8</answer>", prefilled=True) == (1, 1)
    assert scores("<answer>8</answer>", prefilled=True) == (0, 0)
    assert scores(RIGHT, prefilled=True) == (1, 0)


def test_the_verdict_says_what_it_read() -> None:
    verdict = verify("<think>red3</think><answer> 8 </answer>", " 9 ")
    assert (verdict.answer, verdict.gold, verdict.rule) == ("8", "9", "number")
    assert extract(RIGHT).rationale == "red3 blue5"


def test_a_gold_answer_that_cannot_be_read_is_named() -> None:
    """Not in silence: nothing but its own spelling would be right."""
    gold = r"\foo{3} + \bar"
    assert verify("<answer>3</answer>", gold).rule == "unreadable gold"
    assert verify("<answer>3</answer>", "x^2 + 3").rule == "latex"
    assert verify(f"<answer>{gold}</answer>", gold).acc == 1


@pytest.mark.parametrize(
    ("gold", "choices", "problem"),
    [
        ("", None, "empty"),
        ("3" * 3000, None, "too long"),
        (r"\frac{1}{2", None, "unbalanced braces"),
        (r"\boxed{5}}", None, "unbalanced braces"),
        (r"\foo{3} + \bar", None, "unreadable LaTeX"),
        ("9^{9^{9}}", None, "too costly to compare"),
        ("D", ["1", "2", "3"], "letter without an option"),
        (r"2, \foo{3} + \bar", None, "unreadable LaTeX"),
        ("5", None, None),
        (r"2 \sqrt { 221 }", None, None),
        (r"\{1, 2\}", None, None),
        ("C", ["1", "2", "3"], None),
        ("blue", None, None),
        (["1/2", "0.5"], None, None),
        ("['1/2', '0.5']", None, None),
    ],
)
def test_gold_answers_that_cannot_be_trained_on(
    gold: object, choices: list[str] | None, problem: str | None
) -> None:
    assert gold_problem(gold, "", choices) == problem


def test_any_of_several_gold_answers_will_do() -> None:
    assert scores("<answer>0.5</answer>", ["half", "1/2"]) == (1, 0)
    assert scores("<answer>0.5</answer>", "['half', '1/2']") == (1, 0)
    assert scores("<answer>2</answer>", ["half", "1/2"]) == (0, 0)


PIECES = st.sampled_from(
    ["<think>", "</think>", "<answer>", "</answer>", "<", ">", "8", " ", "\x00", "\ud800", "İ"]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=30).map("".join), st.booleans())
def test_any_text_has_a_verdict(response: str, prefilled: bool) -> None:
    verdict = verify(response, "8", prefilled=prefilled)
    assert verdict.acc in (0.0, 1.0)
    assert verdict.fmt in (0.0, 1.0)
    assert verdict.acc == 0 or verdict.answer is not None


@given(st.text(), st.text())
def test_a_response_in_the_form_is_well_formed(rationale: str, answer: str) -> None:
    """The form alone decides on `fmt`, and an answer that repeats the gold answer is right."""
    verdict = verify(f"<think>{rationale}</think><answer>{answer}</answer>", answer)
    said = bool(answer.strip())
    assert (verdict.fmt, verdict.acc) == (float(said), float(said))


@pytest.mark.parametrize(
    "unit",
    ["<answer>", "</answer>", "<think>", "</think>", "<answer>8</answer>", "<", "x", "\x00", "9"],
)
def test_a_megabyte_is_read_in_linear_time(unit: str) -> None:
    """Quadratic reading of a megabyte of tags would take minutes, linear a fraction of a second."""
    begin = time.process_time()
    verify(f"<think>a</think><answer>{unit * (1_000_000 // len(unit))}</answer>", "8")
    assert time.process_time() - begin < 5
