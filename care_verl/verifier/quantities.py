"""Numbers as people write them, with their units: read exactly, compared exactly.

Every number becomes a `Fraction`, so `0.5`, `1/2`, `\\frac12`, `50%` and `5e-1` are the same and no
rounding decides. A decimal with six or more digits behind the point also equals the number that it
abbreviates.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from care_verl.verifier.units import BARE, PERCENT, Unit, ratio, read_unit

_WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
_MOST_DIGITS = 64
_LARGEST_EXPONENT = 400
_ABBREVIATING_DIGITS = 6
# What a computer's floats leave behind: 0.30000000000000004 was computed as 0.3.
_FLOAT_NOISE = Fraction(1, 10**9)

_GROUPED = r"[1-9]\d{0,2}(?:(?:,\d{3})+|(?: \d{3})+)(?:\.\d+)?"
_PLAIN = rf"(?:{_GROUPED}|\d+,\d+|\d+\.\d*|\.\d+|\d+)"
_POWER_OF_TEN = r"10\s*\^\s*(?:\{\s*([+-]?\d{1,4})\s*\}|([+-]?\d{1,4}))"
_NUMBER = re.compile(_PLAIN)
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{(\d+)\}")
_SIGN = re.compile(r"\s*([+-]?)\s*")
_CURRENCY = re.compile(r"[$€£¥]\s*")
_E_NOTATION = re.compile(rf"({_PLAIN})[eE]([+-]?\d{{1,4}})(?![\w.])")
_SCIENTIFIC = re.compile(rf"({_PLAIN})\s*(?:\\times|\\cdot|\*|x)\s*{_POWER_OF_TEN}")
_TEN_TO_THE = re.compile(_POWER_OF_TEN)
_SIGNED = rf"\s*([+-]?\s*{_PLAIN})\s*"
_LATEX_FRACTION = rf"\\frac\s*(?:\{{{_SIGNED}\}}|(\d))\s*(?:\{{{_SIGNED}\}}|(\d))"
_FRACTION = re.compile(rf"{_LATEX_FRACTION}|({_PLAIN})\s*/\s*(-?{_PLAIN})")
_MIXED = re.compile(
    rf"(\d+)\s*(?:and\s+)?(?:{_LATEX_FRACTION})|(\d+)\s+(?:and\s+)?(\d+)\s*/\s*(\d+)"
)
# Behind a number these go on with the mathematics: what stands before them is not the whole of it.
_GOES_ON = re.compile(
    r"\s*(?:[\^_+*/=<>!|(\[:-]|\d|[.,]\d|\\(?!text|mathrm|mbox|rm|circ|textbf|textnormal))"
)
_DEGREE = re.compile(r"\s*\^\s*\\circ(?![A-Za-z])")


@dataclass(frozen=True)
class Quantity:
    """A number and its unit.

    value: the number, exactly as written.
    unit: what stands behind it (or, for a currency, before it).
    digits: digits behind the decimal point; None where the writing was no decimal.
    """

    value: Fraction
    unit: Unit = BARE
    digits: int | None = None

    def __str__(self) -> str:
        exact = str(self.value)
        readable = self.digits is None and len(exact) <= _MOST_DIGITS
        number = (
            exact if readable else f"{Decimal(self.value.numerator) / self.value.denominator:.12g}"
        )
        return f"{number} {self.unit.name}".rstrip()


def read_quantity(text: str) -> Quantity | None:
    """The quantity that `text`, an answer without wrappers, is; None when it is anything else."""
    text = text.strip()
    if text.casefold() in _WORDS:
        return Quantity(Fraction(_WORDS.index(text.casefold())))
    sign = _SIGN.match(text)
    start = sign.end() if sign else 0
    currency = _CURRENCY.match(text, start)
    if currency:
        start = currency.end()
        late_sign = _SIGN.match(text, start)
        start = late_sign.end() if late_sign else start
    found = _read_number(text, start)
    if found is None:
        return None
    number, end = found
    if _GOES_ON.match(text, end) and not _DEGREE.match(text, end):
        return None
    unit = read_unit(text[end:])
    if currency and unit is not None and unit.bare:
        unit = replace(read_unit(currency[0].strip()) or BARE, scale=unit.scale)
    if unit is None:
        return None
    negative = "-" in text[:start]
    value = (-number.value if negative else number.value) * unit.scale
    return Quantity(value, replace(unit, scale=1), None if unit.scale > 1 else number.digits)


def same_quantity(answer: Quantity, gold: Quantity) -> bool:
    """Whether both are the same amount; a unit that one of them leaves out is taken as the other's.

    `25%` is 25 percent of something, or the number 0.25: it equals either.
    """
    factor = ratio(answer.unit, gold.unit)
    if factor is not None and same_number(answer, gold, factor):
        return True
    percents = [q for q in (answer, gold) if q.unit.dimension == PERCENT]
    others = [q for q in (answer, gold) if q.unit.bare]
    if len(percents) == 1 and len(others) == 1:
        return same_number(percents[0], others[0], Fraction(1, 100))
    return False


def same_number(answer: Quantity, gold: Quantity, factor: Fraction = Fraction(1)) -> bool:
    """Whether `answer` times `factor` is `gold`, or one abbreviates the other."""
    difference = abs(answer.value * factor - gold.value)
    written = [(answer.digits, factor), (gold.digits, Fraction(1))]
    return difference == 0 or any(
        digits is not None
        and digits >= _ABBREVIATING_DIGITS
        and difference < max(scale * Fraction(1, 10**digits), _FLOAT_NOISE * abs(gold.value))
        for digits, scale in written
    )


def _read_number(text: str, start: int) -> tuple[Quantity, int] | None:
    """The number that begins at `start`, and where it ends."""
    for pattern, value_of in _READERS:
        match = pattern.match(text, start)
        if match and len(match[0]) <= _MOST_DIGITS:
            value = value_of(match)
            return None if value is None else (value, match.end())
    return None


def _decimal(text: str) -> Quantity:
    """A plain number: commas in threes separate thousands, a single other comma is a point."""
    if re.fullmatch(_GROUPED, text):
        text = text.replace(",", "").replace(" ", "")
    text = text.replace(",", ".")
    digits = len(text.partition(".")[2])
    return Quantity(Fraction(text.rstrip(".") or "0"), digits=digits if "." in text else None)


def _signed(text: str) -> Fraction:
    value = _decimal(text.strip().lstrip("+- ")).value
    return -value if text.strip().startswith("-") else value


def _e_notation(match: re.Match[str]) -> Quantity | None:
    return _scaled(_decimal(match[1]).value, int(match[2]))


def _scientific(match: re.Match[str]) -> Quantity | None:
    return _scaled(_decimal(match[1]).value, int(match[2] or match[3]))


def _ten_to_the(match: re.Match[str]) -> Quantity | None:
    return _scaled(Fraction(1), int(match[1] or match[2]))


def _scaled(mantissa: Fraction, exponent: int) -> Quantity | None:
    if abs(exponent) > _LARGEST_EXPONENT:
        return None
    return Quantity(mantissa * Fraction(10) ** exponent)


def _fraction(match: re.Match[str]) -> Quantity | None:
    groups = [group for group in match.groups() if group is not None]
    return _divided(Fraction(0), groups[-2], groups[-1])


def _mixed(match: re.Match[str]) -> Quantity | None:
    whole, above, below = (group for group in match.groups() if group is not None)
    return _divided(Fraction(whole), above, below)


def _repeating(match: re.Match[str]) -> Quantity:
    """`0.1\\overline{6}`: the period over as many nines, behind the digits that do not repeat."""
    whole, fixed, period = match[1] or "0", match[2], match[3]
    value = Fraction(int(whole + fixed)) + Fraction(int(period), 10 ** len(period) - 1)
    return Quantity(value / 10 ** len(fixed))


def _divided(whole: Fraction, above: str, below: str) -> Quantity | None:
    numerator, denominator = _signed(above), _signed(below)
    return Quantity(whole + numerator / denominator) if denominator else None


# The first that matches is the longest reading: `2 1/3` is no 2, and `3 \times 10^4` is no 3.
_READERS: list[tuple[re.Pattern[str], Callable[[re.Match[str]], Quantity | None]]] = [
    (_REPEATING, _repeating),
    (_MIXED, _mixed),
    (_FRACTION, _fraction),
    (_SCIENTIFIC, _scientific),
    (_E_NOTATION, _e_notation),
    (_TEN_TO_THE, _ten_to_the),
    (_NUMBER, lambda match: _decimal(match[0])),
]
