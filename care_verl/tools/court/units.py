"""Units: their spellings, and what they are in base units.

A unit is a factor and a dimension, the exponents of base units. Words that are no known unit are
kept as they are written.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from care_verl.tools.court.tokens import Token

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Unit:
    """base value = (value + offset) · factor, in units of `dimension`.

    words: what stands there instead of a known unit, in lower case and the singular.
    magnitude: a word such as million, which is part of the number and no unit.
    """

    factor: float
    dimension: Dimension = ()
    offset: float = 0.0
    words: str = ""
    magnitude: bool = False


# base unit: factor, dimension, spellings.
_TABLE: tuple[tuple[float, str, str], ...] = (
    (1.0, "m", "m meter meters metre metres"),
    (1e-2, "m", "cm centimeter centimeters centimetre centimetres"),
    (1e-1, "m", "dm decimeter decimeters decimetre decimetres"),
    (1e-3, "m", "mm millimeter millimeters millimetre millimetres"),
    (1e-6, "m", "μm micrometer micrometers micron microns"),
    (1e-9, "m", "nm nanometer nanometers nanometre nanometres"),
    (1e3, "m", "km kilometer kilometers kilometre kilometres"),
    (0.0254, "m", "in inch inches"),
    (0.3048, "m", "ft foot feet"),
    (0.9144, "m", "yd yard yards"),
    (1609.344, "m", "mi mile miles"),
    (1e-3, "m3", "L l liter liters litre litres"),
    (1e-6, "m3", "mL ml milliliter milliliters millilitre millilitres cc"),
    (1e4, "m2", "ha hectare hectares"),
    (1e-3, "kg", "g gram grams"),
    (1e-6, "kg", "mg milligram milligrams"),
    (1.0, "kg", "kg kilogram kilograms kilo kilos"),
    (1e3, "kg", "tonne tonnes"),
    (0.45359237, "kg", "lb lbs pound pounds"),
    (0.028349523125, "kg", "oz ounce ounces"),
    (1.0, "s", "s sec secs second seconds"),
    (1e-3, "s", "ms millisecond milliseconds"),
    (60.0, "s", "min mins minute minutes"),
    (3600.0, "s", "h hr hrs hour hours"),
    (86400.0, "s", "day days"),
    (604800.0, "s", "week weeks"),
    (1.0, "month", "month months"),
    (12.0, "month", "yr yrs year years"),
    (120.0, "month", "decade decades"),
    (0.44704, "m s-1", "mph"),
    (1 / 3.6, "m s-1", "kph kmh"),
    (1.0, "kg m s-2", "N newton newtons"),
    (1e3, "kg m s-2", "kN"),
    (1.0, "kg m2 s-2", "J joule joules"),
    (1e3, "kg m2 s-2", "kJ kilojoule kilojoules"),
    (3.6e6, "kg m2 s-2", "kWh"),
    (1.0, "kg m2 s-3", "W watt watts"),
    (1e3, "kg m2 s-3", "kW kilowatt kilowatts"),
    (1e6, "kg m2 s-3", "MW megawatt megawatts"),
    (1.0, "kg m-1 s-2", "Pa pascal pascals"),
    (1e3, "kg m-1 s-2", "kPa"),
    (1e6, "kg m-1 s-2", "MPa"),
    (1.0, "s-1", "Hz hertz"),
    (1e3, "s-1", "kHz"),
    (1e6, "s-1", "MHz"),
    (1.0, "A", "A amp amps ampere amperes"),
    (1e-3, "A", "mA"),
    (1.0, "kg m2 s-3 A-1", "V volt volts"),
    (1.0, "kg m2 s-3 A-2", "Ω Omega ohm ohms"),
    (1.0, "K", "K kelvin"),
    (1.0, "mol", "mol mole moles"),
    (1.0, "rad", "rad radian radians"),
    (math.pi / 180, "rad", "°"),
    (1.0, "usd", "$ usd dollar dollars"),
    (0.01, "usd", "cent cents ¢"),
    (1.0, "eur", "€ euro euros eur"),
    (1.0, "gbp", "£ gbp"),
    (1.0, "jpy", "¥ yen"),
    (1.0, "inr", "₹ rupee rupees"),
    (1.0, "", "unit units"),
    (0.01, "", "%"),
)
_MAGNITUDES = {
    "dozen": 12.0,
    "hundred": 1e2,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "bn": 1e9,
    "trillion": 1e12,
}
_TEMPERATURES = {"C": (1.0, 273.15), "F": (5 / 9, 459.67)}
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_LONGEST_SYMBOL = 2
_MAX_EXPONENT = 4


def _dimension(text: str) -> Counter[str]:
    """`kg m s-2` as exponents by base unit."""
    exponents: Counter[str] = Counter()
    for part in text.split():
        name = part.rstrip("-0123456789")
        exponents[name] += int(part[len(name) :] or 1)
    return exponents


_UNITS = {
    spelling: (factor, _dimension(dimension))
    for factor, dimension, spellings in _TABLE
    for spelling in spellings.split()
}


def is_unit(word: str) -> bool:
    """Whether `word` is a unit by itself, or belongs to one."""
    return _known(word) is not None or word.lower() in _POWERS or word.lower() in _MAGNITUDES


def read_unit(tokens: list[Token]) -> Unit | None:
    """The unit that `tokens` spell, as in `cm^2`, `square feet`, `km/h`, `°C`, `million dollars`.

    None when they spell none.
    """
    tokens = [token for token in tokens if token.text not in ("{", "}", "(", ")", ".")]
    texts = [token.text for token in tokens]
    if texts[:1] == ["°"] and texts[1:] in (["C"], ["F"], ["Celsius"], ["Fahrenheit"]):
        factor, offset = _TEMPERATURES[texts[1][0]]
        return Unit(factor, (("K", 1),), offset)
    known = _product(texts)
    if known is not None:
        return known
    if texts and all(token.kind in ("word", "text", "percent") for token in tokens):
        return Unit(1.0, words=" ".join(_singular(word) for word in texts))
    return None


def _product(texts: list[str]) -> Unit | None:
    """Units multiplied and divided; None as soon as something else stands there."""
    factor, dimension = 1.0, Counter[str]()
    sign, ahead, at, units = 1, 1, 0, 0
    magnitude = False
    while at < len(texts):
        word = texts[at]
        at += 1
        if word in ("/", "per"):
            sign = -1
        elif word.lower() in _MAGNITUDES:
            factor, magnitude = factor * _MAGNITUDES[word.lower()], True
        elif word.lower() in _POWERS:
            ahead = _POWERS[word.lower()]
        elif word != "*":
            unit = _known(word)
            if unit is None:
                return None
            exponent, at = _exponent(texts, at)
            if not 1 <= abs(exponent) <= _MAX_EXPONENT:
                return None
            units += 1
            factor *= unit[0] ** (sign * ahead * exponent)
            for name, power in unit[1].items():
                dimension[name] += sign * ahead * exponent * power
            ahead = 1
    if not units and not magnitude:
        return None
    exponents = tuple(sorted((name, power) for name, power in dimension.items() if power))
    return Unit(factor, exponents, magnitude=magnitude)


def _exponent(texts: list[str], at: int) -> tuple[int, int]:
    """The exponent behind a unit, and where the text goes on: `^2`, `^-1`, `2` or `squared`."""
    rest = texts[at : at + 3]
    if rest[:1] == ["^"]:
        minus = rest[1:2] == ["-"]
        digits = rest[1 + minus : 2 + minus]
        if digits and digits[0].isdigit() and len(digits[0]) == 1:
            return (-1 if minus else 1) * int(digits[0]), at + 2 + minus
        return 0, at
    if rest[:1] in (["2"], ["3"]):
        return int(rest[0]), at + 1
    if rest[:1] in (["squared"], ["cubed"]):
        return _POWERS[rest[0]], at + 1
    return 1, at


def _known(word: str) -> tuple[float, Counter[str]] | None:
    """The unit of a spelling; the case of short symbols matters, that of words does not."""
    if word in _UNITS:
        return _UNITS[word]
    return _UNITS.get(word.lower()) if len(word) >= _LONGEST_SYMBOL else None


def _singular(word: str) -> str:
    lower = word.lower()
    return lower[:-1] if lower.endswith("s") and not lower.endswith("ss") else lower
