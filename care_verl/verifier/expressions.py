"""Mathematical expressions: what is left when an answer is no plain number, list, option or word.

Units are taken off and compared here, because math-verify drops them; the rest is compared by
math-verify in a worker process.
"""

import re
from fractions import Fraction

from care_verl.verifier.cleaning import LONGEST_ANSWER, cleaned
from care_verl.verifier.sequences import read_list
from care_verl.verifier.symbolic import Comparison, Form, compare
from care_verl.verifier.texts import has_words
from care_verl.verifier.unit_names import base_unit
from care_verl.verifier.units import BARE, PERCENT, Unit, ratio, read_unit

_SUPERSCRIPT = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?"
_TEXT_UNIT = re.compile(
    r"\s*\\(?:text|textbf|textrm|textnormal|mathrm|mbox|rm)\s*\{[^{}]*\}" + _SUPERSCRIPT + "$"
)
_DEGREE_UNIT = re.compile(r"\s*\^\s*\\circ\s*$")
_SIGN_UNIT = re.compile(r"\s*[%€£¥]$")
_WORD_UNIT = re.compile(
    r"(?<=[\d\s)}])\s*(?<!\\)\b((?:sq(?:uare|\.)?\s+|cubic\s+)?([A-Za-zµΩ]+)"
    rf"{_SUPERSCRIPT}(?:\s*/\s*[A-Za-z]+{_SUPERSCRIPT})?)\.?$"
)
_ROMAN = re.compile(r"\\(?:text|mathrm|mbox|operatorname|begin|end|textbf|textrm)\s*\{[^{}]*\}")
_DELIMITED = re.compile(r"\$[^$]+\$|\\\(|\\\[|\\boxed")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\s*\\circ(?![A-Za-z])")
# Digits in pieces, and prose that says what the answer is not.
_NO_EXPRESSION = re.compile(
    r"^[\d\s]*\d\s+\d[\d\s]*$|\b(?:not|never|(?:more|less|fewer|greater|larger|smaller) than|"
    r"at least|at most|over|under|above|below|up to)\s+[^A-Za-z]*$",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"(?<![A-Za-z\\])(?:[A-Za-z](?![A-Za-z])|[A-Za-z]+(?=[\d^_]))")
_COMMAND = re.compile(r"\\[A-Za-z]+")
# The letters behind these are names of points: no product, so their order counts.
_NAMES = re.compile(
    r"\\(?:angle|triangle|overline|overrightarrow|overleftrightarrow|overset|odot|widehat|arc|"
    r"parallelogram|square|cong|sim|parallel|perp)(?![A-Za-z])"
)

_SPELLED = [
    (re.compile(r"(?<!\\)\bangle\b", re.IGNORECASE), r"\\angle "),
    (re.compile(r"(?<!\\)\btriangle\b", re.IGNORECASE), r"\\triangle "),
]
_SIGN = re.compile(r"^\\(?:angle|triangle|overline|odot)")


def same_expression(answer: str, gold: str) -> Comparison:
    """Whether two expressions are equal, units included.

    An answer too long to be one is searched as prose.
    """
    if len(answer) <= LONGEST_ANSWER and _NAMES.search(cleaned(gold)):
        return Comparison(same=_same_names(cleaned(answer), cleaned(gold)), gold_readable=True)
    if has_words(_ROMAN.sub(" ", cleaned(gold))) and not _DELIMITED.search(gold):
        # Words with something mathematical in them: no part of it is the gold answer.
        return Comparison(same=False)
    if len(answer) > LONGEST_ANSWER:
        return compare(Form(answer, "prose"), _sought(gold, *split_unit(cleaned(gold))))
    plain_answer, plain_gold = _listed(cleaned(answer)), _listed(cleaned(gold))
    answer_body, answer_unit = _split_beside(plain_answer, plain_gold)
    gold_body, gold_unit = _split_beside(plain_gold, plain_answer)
    factor = ratio(answer_unit, gold_unit)
    if factor is None or _NO_EXPRESSION.search(answer_body):
        return Comparison(same=False, gold_readable=True)
    form = _form(answer, answer_body, factor)
    if form.kind == "prose":
        return compare(form, _sought(gold, gold_body, gold_unit))
    return compare(form, _form(gold, gold_body, Fraction(1)))


def read_expression(gold: str) -> Comparison:
    """A gold answer compared with itself: can it be read at all?"""
    return same_expression(gold, gold)


def split_unit(text: str) -> tuple[str, Unit]:
    """An expression and the known unit behind it; the bare unit where there is none.

    A single letter is a unit only behind an expression that has no variables.
    """
    if _TRIGONOMETRY.search(text):
        return text, BARE
    for pattern in (_TEXT_UNIT, _DEGREE_UNIT, _SIGN_UNIT):
        match = pattern.search(text)
        unit = read_unit(match[0]) if match else None
        if match and match.start() and unit is not None and unit.dimension:
            return text[: match.start()], unit
    match = _WORD_UNIT.search(text)
    if match and match.start() and base_unit(match[2]):
        body = text[: match.start()]
        unit = read_unit(match[1])
        if unit is not None and unit.dimension and (len(match[2]) > 1 or not _variables(body)):
            return body, unit
    return text, BARE


def _split_beside(text: str, other: str) -> tuple[str, Unit]:
    """As `split_unit`; a letter that is a variable on the other side is none here either."""
    body, unit = split_unit(text)
    if len(unit.name) == 1 and unit.name in _variables(split_unit(other)[0]):
        return text, BARE
    return body, unit


def _variables(text: str) -> list[str]:
    return _VARIABLE.findall(_COMMAND.sub(" ", text))


def _listed(text: str) -> str:
    """A list with commas alone between its items: math-verify reads no further than an "and"."""
    listing = read_list(text)
    return text if listing is None else str(listing)


def _form(written: str, body: str, factor: Fraction) -> Form:
    """What math-verify is given: the bare expression, or the whole text where it is prose."""
    if has_words(_ROMAN.sub(" ", body)):
        return Form(written, "prose")
    body = _DEGREES.sub(r"(\1 \\cdot \\frac{\\pi}{180})", body)
    if factor != 1:
        return Form(rf"\frac{{{factor.numerator}}}{{{factor.denominator}}} \cdot ({body})", "math")
    return Form(body, "math")


def _sought(gold: str, body: str, unit: Unit) -> Form:
    """What is looked for in prose, where math-verify finds a percentage together with its sign."""
    if has_words(body):
        return Form(gold, "prose")
    return Form(f"${body}$ %" if unit.dimension == PERCENT else f"${body}$", "prose")


def _same_names(answer: str, gold: str) -> bool:
    """Equal names; an angle or a segment may be named from either end, or without its sign."""
    wanted = {_name(gold), _reversed_points(_name(gold))}
    return _name(answer) in wanted | {_SIGN.sub("", name) for name in wanted}


def _name(text: str) -> str:
    for pattern, command in _SPELLED:
        text = pattern.sub(command, text)
    return re.sub(r"[\s{}]+", "", text)


def _reversed_points(name: str) -> str:
    return re.sub(r"[A-Z]{2,3}$", lambda match: match[0][::-1], name)
