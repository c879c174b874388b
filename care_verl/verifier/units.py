"""Units of measurement: which are the same, which convert into each other, which contradict.

A unit is a product of powers of base units with an exact factor, so `0.12 m` is `12 cm` and
`36 km/h` is `10 m/s`. A word that is no known unit (`12 apples`) is kept as a word.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction

_METRE, _GRAM, _SECOND, _LITRE = "m", "g", "s", "L"
# base unit, factor to it, spellings
_SPELLINGS: list[tuple[str, int, Fraction | int | str, str]] = [
    (_METRE, 1, "1/1000000000", "nm nanometer nanometre"),
    (_METRE, 1, "1/1000000", "um µm μm micrometer micrometre micron"),
    (_METRE, 1, "1/1000", "mm millimeter millimetre"),
    (_METRE, 1, "1/100", "cm centimeter centimetre"),
    (_METRE, 1, "1/10", "dm decimeter decimetre"),
    (_METRE, 1, 1, "m meter metre"),
    (_METRE, 1, 1000, "km kilometer kilometre"),
    (_METRE, 1, "0.0254", "in inch inches"),
    (_METRE, 1, "0.3048", "ft foot feet"),
    (_METRE, 1, "0.9144", "yd yard"),
    (_METRE, 1, "1609.344", "mi mile"),
    (_METRE, 2, 10000, "ha hectare"),
    (_METRE, 2, "4046.8564224", "acre"),
    (_LITRE, 1, "1/1000", "ml mL milliliter millilitre"),
    (_LITRE, 1, 1, "l L liter litre"),
    (_GRAM, 1, "1/1000", "mg milligram"),
    (_GRAM, 1, 1, "g gram gramme"),
    (_GRAM, 1, 1000, "kg kilogram kilo"),
    (_GRAM, 1, 1000000, "t ton tonne"),
    (_GRAM, 1, "453.59237", "lb lbs pound"),
    (_GRAM, 1, "28.349523125", "oz ounce"),
    (_SECOND, 1, "1/1000", "ms millisecond"),
    (_SECOND, 1, 1, "s sec second"),
    (_SECOND, 1, 60, "min mins minute"),
    (_SECOND, 1, 3600, "h hr hrs hour"),
    (_SECOND, 1, 86400, "day"),
    (_SECOND, 1, 604800, "week"),
    ("month", 1, 1, "month"),
    ("month", 1, 12, "yr year"),
    ("degree", 1, 1, "degree deg °"),
    ("radian", 1, 1, "rad radian"),
    ("celsius", 1, 1, "°C celsius"),
    ("fahrenheit", 1, 1, "°F fahrenheit"),
    ("kelvin", 1, 1, "K kelvin"),
    ("dollar", 1, 1, "$ dollar usd USD"),
    ("dollar", 1, "1/100", "cent ¢"),
    ("euro", 1, 1, "€ euro eur EUR"),
    ("sterling", 1, 1, "£ gbp GBP"),
    ("yen", 1, 1, "¥ yen yuan"),
    ("newton", 1, 1, "N newton"),
    ("newton", 1, 1000, "kN"),
    ("joule", 1, 1, "J joule"),
    ("joule", 1, 1000, "kJ"),
    ("watt", 1, 1, "W watt"),
    ("watt", 1, 1000, "kW kilowatt"),
    ("pascal", 1, 1, "Pa pascal"),
    ("pascal", 1, 1000, "kPa"),
    ("hertz", 1, 1, "Hz hertz"),
    ("volt", 1, 1, "V volt"),
    ("ampere", 1, 1, "A amp ampere"),
    ("ohm", 1, 1, "Ω ohm"),
    ("mole", 1, 1, "mol mole"),
    ("percent", 1, 1, "% percent percentage pct"),
]
_NO_UNIT = {"unit", "units"}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12} | {
    "mn": 10**6,
    "bn": 10**9,
    "tn": 10**12,
    "dozen": 12,
}
_COMMAND = re.compile(
    r"\\(?:text|textbf|textrm|textnormal|mathrm|mathbf|mbox|rm|operatorname)(?![A-Za-z])\s*"
)
_PLAIN = [
    (_COMMAND, " "),
    (re.compile(r"\^\s*\{\s*(-?\d)\s*\}|\s*\^\s*(-?\d)"), r"^\1\2"),
    (re.compile(r"[{}]"), " "),
    (re.compile(r"\^?\s*\\circ(?![A-Za-z])\s*(?=[CF](?![A-Za-z]))"), "°"),
    (re.compile(r"\^?\s*\\circ(?![A-Za-z])"), "°"),
    (re.compile(r"\\cdot(?![A-Za-z])"), "*"),
    (re.compile(r"\b[Ss]q(?:uare)?\.?\s+([^\W\d_]+)"), r"\1^2"),
    (re.compile(r"\b[Cc]u(?:bic)?\.?\s+([^\W\d_]+)"), r"\1^3"),
    (re.compile(r"([^\W\d_]+)\s+squared\b"), r"\1^2"),
    (re.compile(r"([^\W\d_]+)\s+cubed\b"), r"\1^3"),
    (re.compile(r"\bmph\b"), "miles/hour"),
    (re.compile(r"(?<=[^\W\d_])\s+\^"), "^"),
]
_TOKEN = re.compile(r"([^\W\d_]+|[$€£¥%¢]|°[CF]?)\.?(?:\^?\{?(-?[1-9])\}?)?")
_WORDS = re.compile(r"[^\W\d_]{3,}(?:[ '-][^\W\d_]+){0,4}")


@dataclass(frozen=True)
class Unit:
    """Powers of base units, a factor to them, and words that name no known unit.

    dimension: sorted pairs of base unit and power, empty for a bare number.
    factor: one of this unit, in base units.
    words: words behind the number that are no unit, in lower case and singular.
    scale: of `million` and the like; part of the number, not of the unit.
    name: the unit as it was written.
    """

    dimension: tuple[tuple[str, int], ...] = ()
    factor: Fraction = Fraction(1)
    words: frozenset[str] = frozenset()
    scale: int = 1
    name: str = field(default="", compare=False)

    @property
    def bare(self) -> bool:
        """Whether this says nothing about what was measured."""
        return not self.dimension and not self.words


BARE = Unit()
PERCENT = (("percent", 1),)


def _table() -> dict[str, tuple[str, int, Fraction]]:
    table = {}
    for base, power, factor, spellings in _SPELLINGS:
        for spelling in spellings.split():
            table[spelling] = (base, power, Fraction(factor))
            if len(spelling) > 2 and spelling.islower() and not spelling.endswith("s"):
                table[spelling + "s"] = table[spelling]
    return table


_UNITS = _table()


def is_known(word: str) -> bool:
    """Whether a word names a unit of measurement, alone and without a power."""
    return _lookup(word) is not None


def read_unit(text: str) -> Unit | None:
    """The unit that `text`, all that stands behind a number, names; None when it is something else.

    An empty text is the bare unit.
    """
    plain = _plain(text)
    words, scale = _without_scale(plain)
    if not words:
        return Unit(scale=scale)
    powers: dict[str, int] = {}
    factor = Fraction(1)
    known = 0
    for token, sign in words:
        match = _TOKEN.fullmatch(token)
        entry = _lookup(match[1]) if match else None
        if match is None or entry is None:
            break
        power = sign * int(match[2] or 1)
        base, base_power, base_factor = entry
        powers[base] = powers.get(base, 0) + power * base_power
        factor *= base_factor**power
        known += 1
    rest = " ".join(token for token, _ in words[known:])
    if rest and not _WORDS.fullmatch(rest):
        return None
    dimension = tuple(sorted((base, power) for base, power in powers.items() if power))
    # Behind a unit, words such as "long" or "in total" say nothing that contradicts.
    return Unit(
        *_in_metres(dimension, factor), frozenset() if known else _singular(rest), scale, plain
    )


def ratio(unit: Unit, other: Unit) -> Fraction | None:
    """What one `unit` is in `other`s; None when they measure different things.

    A bare number takes on the other's unit, since a question often names it.
    """
    if unit.bare or other.bare:
        return Fraction(1)
    if unit.words and other.words:
        return Fraction(1) if unit.words & other.words else None
    if unit.dimension != other.dimension:
        return None
    return unit.factor / other.factor


def _in_metres(
    dimension: tuple[tuple[str, int], ...], factor: Fraction
) -> tuple[tuple[tuple[str, int], ...], Fraction]:
    """A litre is a thousandth of a cubic metre."""
    if dimension == ((_LITRE, 1),):
        return ((_METRE, 3),), factor / 1000
    return dimension, factor


def _plain(text: str) -> str:
    """The text with one spelling for powers, degrees and `\\text{…}`."""
    for pattern, replacement in _PLAIN:
        text = pattern.sub(replacement, text)
    text = text.strip().strip("()[]").strip()
    # "12 in total", but "12 in".
    return text.removeprefix("in ")


def _without_scale(text: str) -> tuple[list[tuple[str, int]], int]:
    """Tokens with the sign of their power, and the product of words such as `million`."""
    scale = 1
    tokens: list[tuple[str, int]] = []
    sign = 1
    for piece in re.findall(r"/|[^\s/*]+", re.sub(r"\bper\b", "/", text)):
        if piece == "/":
            sign = -1
        elif piece.lower() in _SCALES:
            scale *= _SCALES[piece.lower()]
        elif re.sub(r"\^[23]$", "", piece.lower()) not in _NO_UNIT:
            tokens.append((piece, sign))
    return tokens, scale


def _lookup(word: str) -> tuple[str, int, Fraction] | None:
    if word in _UNITS:
        return _UNITS[word]
    return _UNITS.get(word.lower()) if len(word) > 1 else None


def _singular(words: str) -> frozenset[str]:
    singular = (word.removesuffix("s") for word in re.findall(r"[^\W\d_]+", words.casefold()))
    return frozenset(singular)
