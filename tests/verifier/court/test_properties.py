"""What must hold for any value in any form, and for any text at all."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from care_verl.tools.court import read, second_opinion
from care_verl.tools.court.rewritings import rewritings

FRACTIONS = st.builds(Fraction, st.integers(-999, 999), st.integers(1, 99))


@st.composite
def written(draw: st.DrawFn, value: Fraction) -> str:
    """One of the ways to write a value."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    above, below = size.numerator, size.denominator
    factor = draw(st.integers(1, 9))
    forms = [
        f"{sign}{above * factor}/{below * factor}",
        f"{sign}\\frac{{{above * factor}}}{{{below * factor}}}",
        f"{sign}\\dfrac {{ {above} }} {{ {below} }}",
        f"{sign}\\frac{{\\sqrt{{{above * above}}}}}{{{below}}}",
        f"{sign}{above}\\cdot{below}^{{-1}}",
        f"{sign}\\left({above}\\div {below}\\right)",
        f"{sign}({above}+{factor}-{factor})/{below}",
        f"x = {sign}{above}/{below}",
        f"{sign}\\frac{{{above}\\pi}}{{{below}\\pi}}",
    ]
    if above > below > 1:
        whole, rest = divmod(above, below)
        forms.append(f"{sign}{whole}\\frac{{{rest}}}{{{below}}}")
        forms.append(f"{sign}{whole} {rest}/{below}")
    if below in (1, 2, 4, 5, 8, 10):
        forms.append(f"{float(value):.3f}")
        forms.append(f"{float(value * 100):.1f}\\%")
    wrappers = ["{}", "${}$", "\\boxed{{{}}}", " {} ", "{}.", "\\({}\\)", "**{}**"]
    return draw(st.sampled_from(wrappers)).format(draw(st.sampled_from(forms)))


@settings(max_examples=500)
@given(st.data(), FRACTIONS)
def test_two_forms_of_a_value_read_the_same(data: st.DataObject, value: Fraction) -> None:
    forms = data.draw(written(value)), data.draw(written(value))
    assert second_opinion(*forms).judgement == "same"


@settings(max_examples=500)
@given(st.data(), FRACTIONS, FRACTIONS)
def test_different_values_read_differently(
    data: st.DataObject, left: Fraction, right: Fraction
) -> None:
    """Apart from a percent sign on one side, which may be left out."""
    assume(left != right)
    forms = data.draw(written(left)), data.draw(written(right))
    assume(("%" in forms[0]) == ("%" in forms[1]))
    judgement = second_opinion(*forms).judgement
    near = abs(left - right) <= Fraction(1, 1000)
    assert judgement == "different" or (near and judgement == "cannot_say")


@settings(max_examples=300)
@given(
    st.data(), FRACTIONS, st.sampled_from([("cm", "m", 100), ("min", "h", 60), ("g", "kg", 1000)])
)
def test_a_converted_unit_reads_the_same(
    data: st.DataObject, value: Fraction, units: tuple[str, str, int]
) -> None:
    small, large, factor = units
    assume(value)
    left = f"\\frac{{{value.numerator}}}{{{value.denominator}}} {large}"
    above = value * factor
    right = f"\\frac{{{above.numerator}}}{{{above.denominator}}} \\text{{ {small}}}"
    assert second_opinion(left, right).judgement == "same"
    assert second_opinion(left, right.replace(small, large)).judgement == "different"


@settings(max_examples=300)
@given(st.data(), FRACTIONS)
def test_rewritings_mean_the_same(data: st.DataObject, value: Fraction) -> None:
    gold = data.draw(
        st.sampled_from(
            [
                f"{value.numerator}/{value.denominator}",
                f"\\frac{{{value.numerator}}}{{{value.denominator}}}",
                f"{float(value):.4f}",
                f"\\boxed{{{value.numerator}}}",
            ]
        )
    )
    written_anew = list(rewritings(gold))
    assert written_anew
    for name, text in written_anew:
        assert second_opinion(text, gold).judgement == "same", name


def test_the_rewritings_of_a_letter_and_of_a_word() -> None:
    assert dict(rewritings("B")) == {
        "boxed": "\\boxed{B}",
        "full stop": "B.",
        "letter in brackets": "(B)",
        "emphasised letter": "**B**",
    }
    assert dict(rewritings("light blue")) == {
        "boxed": "\\boxed{light blue}",
        "full stop": "light blue.",
    }
    assert dict(rewritings("-0.25"))["fraction"] == "-1/4"
    assert dict(rewritings("-3/8"))["decimal"] == "-0.375"
    assert "decimal" not in dict(rewritings("1/3"))


PIECES = st.sampled_from(
    [
        *("\\frac", "\\sqrt", "\\pi", "\\log", "\\text{cm}", "\\left", "\\right", "\\circ", "\\pm"),
        *("\\{", "\\}", "\\boxed{", "\\cup", "and", "sin", "cm", "five", "A.", "(B)", "1,", "1.5"),
        *"{}()[]|^_9xe%°=<,:;!/-+½²$∞ \x00\ud800İ",
    ]
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=40).map("".join))


@settings(max_examples=1000)
@given(TEXTS, TEXTS)
def test_any_text_has_an_opinion(left: str, right: str) -> None:
    begin = time.process_time()
    opinion = second_opinion(left, right)
    assert time.process_time() - begin < LIMIT_S
    assert opinion.judgement in ("same", "different", "cannot_say")
    assert opinion.reason
    assert second_opinion(left, right) == opinion
    assert repr(read(left)) == repr(read(left))


@settings(max_examples=500)
@given(TEXTS)
def test_no_text_differs_from_itself(text: str) -> None:
    """A notation with two readings leaves a doubt even there; an empty text is no answer."""
    assume(read(text).kind != "none")
    assert second_opinion(text, text).judgement != "different"


LIMIT_S = 5.0
"""Processor time. Each of them takes milliseconds, one of exponential or quadratic time minutes; in
between lies what the garbage collector may take in a process that has run other tests."""

HOSTILE = [
    "(" * 2000 + "1" + ")" * 2000,
    "\\frac{" * 2000,
    "{" * 250 + "1" + "}" * 250,
    "(" * 200 + "1" + ")" * 200,
    "|" * 400,
    "-" * 499 + "1",
    "2^" * 240 + "2",
    "9^{9^{9}}",
    "9^{9^{9^{9}}}!",
    "170!!!!!",
    "1e9999",
    "10^{10000}",
    "9" * 490,
    "1," * 240,
    "±1," * 120,
    "\\sin" * 100 + "x",
    "\x00",
    "\ud800",
    "\\",
    "\\text{",
    "0/0",
    "0^{-1}",
    "\\log 0",
    "\\sqrt[0]{2}",
    "\\log_1 2",
    "x/(x-x)",
    "1.7\\cdot10^{308}(1+i)",
    "x=1.7\\cdot10^{308}(1+i)",
    "1.7\\cdot10^{308} MW^4",
    "1e-9999",
    "2:1e-9999",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_hostile_texts_end_at_once(text: str) -> None:
    for pair in ((text, "5"), ("5", text), (text, text), (text, "2i"), (text, "2x=3y")):
        begin = time.process_time()
        opinion = second_opinion(*pair)
        assert time.process_time() - begin < LIMIT_S
        assert opinion.judgement != "different" or pair[0] != pair[1]


@pytest.mark.parametrize(
    "unit", ["(", "\\frac{", "1,", "$", "a", "9", "\\text{", " ", "A. ", "-", "²"]
)
def test_a_megabyte_ends_at_once(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    begin = time.process_time()
    second_opinion(text, "5")
    assert time.process_time() - begin < LIMIT_S
