"""Whether two quantities are the same: values, units, tolerance, rounding."""

from __future__ import annotations

import math
from decimal import Decimal

from care_verl.tools.court.arithmetic import Values, is_defined, size
from care_verl.tools.court.opinion import EXACT, Opinion
from care_verl.tools.court.quantity import Quantity
from care_verl.tools.court.units import Unit, is_unit

# What is left of numbers near 1 that cancel; smaller ones were written so.
_NOISE = (1e-18, 1e-14)
_YEARS = (1800, 2100)
_FEWEST_DIGITS = 2
# 2.5M may be 2.5 million.
_MAGNITUDE_LETTERS = frozenset("kKMBT")


def compare_quantities(answer: Quantity, gold: Quantity, tolerance: float) -> Opinion:
    """What `answer` says, against `gold`. tolerance: relative to the gold."""
    if answer.names != gold.names and not (answer.names and gold.names):
        letters = answer.names | gold.names
        if all(is_unit(letter) or letter in _MAGNITUDE_LETTERS for letter in letters):
            return Opinion("cannot_say", "a letter that is a variable or a unit")
    if answer.names != gold.names and _lower(answer.names) == _lower(gold.names):
        return Opinion("cannot_say", "variables that differ in case")
    if answer.unit is None and gold.unit is None:
        return _numbers(answer, gold, tolerance)
    return _with_units(answer, gold, tolerance)


def _lower(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _with_units(answer: Quantity, gold: Quantity, tolerance: float) -> Opinion:
    """Values in base units, or as they are written where one side leaves its unit out."""
    as_written = _numbers(answer, gold, tolerance)
    if answer.unit is None or gold.unit is None:
        return _one_unit(answer, gold, as_written, tolerance)
    if answer.unit.words or gold.unit.words:
        if answer.unit.words == gold.unit.words or as_written.judgement == "different":
            return as_written
        return Opinion("cannot_say", "words that are no known unit")
    if answer.unit == gold.unit:
        return as_written
    million_only = [u.magnitude and not u.dimension for u in (answer.unit, gold.unit)]
    if answer.unit.dimension != gold.unit.dimension and not any(million_only):
        return Opinion("different", "units of different dimensions")
    return _scaled(answer, gold, tolerance)


def _one_unit(answer: Quantity, gold: Quantity, as_written: Opinion, tolerance: float) -> Opinion:
    unit = answer.unit or gold.unit
    assert unit is not None
    if unit.words and answer.names | gold.names:
        return Opinion("cannot_say", "words that are units or variables")
    scaled = _scaled(answer, gold, tolerance)
    if _without_dimension(unit) and scaled.judgement == "same":
        return scaled
    if as_written.judgement == "same" and unit.magnitude:
        return Opinion("cannot_say", "a word such as million on one side only")
    if as_written.judgement == "same" and answer.unit is not None and unit.words:
        return Opinion("cannot_say", "words behind the number that are no known unit")
    return as_written


def _without_dimension(unit: Unit) -> bool:
    return not unit.words and unit.dimension in ((), (("rad", 1),))


def _scaled(answer: Quantity, gold: Quantity, tolerance: float) -> Opinion:
    agreement = _agreement(_in_base(answer), _in_base(gold), tolerance)
    return _unless_rounded(answer, gold, agreement)


def _in_base(quantity: Quantity) -> Values:
    unit = quantity.unit
    if unit is None:
        return quantity.values
    return tuple((value + unit.offset) * unit.factor for value in quantity.values)


def _numbers(answer: Quantity, gold: Quantity, tolerance: float) -> Opinion:
    """Two quantities without their units."""
    if answer.literal is not None and gold.literal is not None and tolerance == EXACT:
        if answer.literal == gold.literal:
            return Opinion("same", "the same number")
    else:
        agreement = _agreement(answer.values, gold.values, tolerance)
        if agreement.judgement == "same":
            return _unless_year(answer, gold, agreement)
        return _unless_rounded(answer, gold, agreement)
    return _unless_rounded(answer, gold, Opinion("different", "different values"))


def _agreement(answer: Values, gold: Values, tolerance: float) -> Opinion:
    pairs = [
        (a, g)
        for a, g in zip(answer, gold, strict=True)
        if a == g or (is_defined(a) and is_defined(g))
    ]
    if not pairs:
        if not any(math.isnan(value.real) for value in (*answer, *gold)):
            return Opinion("different", "infinite and something else")
        return Opinion("cannot_say", "undefined at the points of comparison")
    agreeing = sum(close(a, g, tolerance) for a, g in pairs)
    if agreeing == len(pairs):
        return Opinion("same", "equal at all points")
    if agreeing:
        return Opinion("cannot_say", "equal at some points only: the notation has two readings")
    if any(_NOISE[0] < max(size(a), size(g)) < _NOISE[1] for a, g in pairs):
        return Opinion("cannot_say", "too small to tell from rounding errors")
    return Opinion("different", "different values")


def close(answer: complex, gold: complex, tolerance: float) -> bool:
    """Whether two finite or equal numbers differ by no more than the tolerance."""
    if answer == gold:
        return True
    return size(answer - gold) <= tolerance * size(gold) * (1 + EXACT)


def _unless_year(answer: Quantity, gold: Quantity, agreement: Opinion) -> Opinion:
    """A chart's tolerance makes every year equal to its neighbours."""
    years = [
        q.literal is not None
        and q.literal == q.literal.to_integral_value()
        and _YEARS[0] <= q.literal <= _YEARS[1]
        for q in (answer, gold)
    ]
    if all(years) and answer.literal != gold.literal:
        return Opinion("cannot_say", "two years within the chart's tolerance")
    return agreement


def _unless_rounded(answer: Quantity, gold: Quantity, opinion: Opinion) -> Opinion:
    rounded = _rounds_to(answer, gold) or _rounds_to(gold, answer)
    if opinion.judgement == "different" and rounded:
        return Opinion("cannot_say", "equal only when rounded to the digits written")
    return opinion


def _rounds_to(value: Quantity, rounded: Quantity) -> bool:
    """Whether `rounded` is a decimal that `value` rounds to, as written or in base units."""
    if rounded.literal is None or value.names:
        return False
    digits = rounded.literal.as_tuple()
    if not isinstance(digits.exponent, int) or digits.exponent >= 0:
        return False
    if len(digits.digits) < _FEWEST_DIGITS:
        return False
    half = float(Decimal(5).scaleb(digits.exponent - 1)) * (1 + EXACT)
    factor = 1.0 if rounded.unit is None else rounded.unit.factor
    base = size(_in_base(value)[0] - _in_base(rounded)[0]) <= half * factor
    same_unit = value.unit == rounded.unit or None in (value.unit, rounded.unit)
    return base or (same_unit and size(value.values[0] - rounded.values[0]) <= half)
