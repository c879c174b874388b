"""Numbers and units: what a text is read as, and that the writing makes no difference."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from care_verl.verifier.cleaning import cleaned
from care_verl.verifier.quantities import Quantity, read_quantity, same_quantity
from care_verl.verifier.units import read_unit


def read(text: str) -> Quantity | None:
    return read_quantity(cleaned(text))


@pytest.mark.parametrize(
    ("text", "value", "dimension"),
    [
        ("1,234.5", Fraction(2469, 2), ()),
        ("0,25", Fraction(1, 4), ()),
        (r"1\frac{1}{2}", Fraction(3, 2), ()),
        ("3½", Fraction(7, 2), ()),
        (r"0.1\overline{6}", Fraction(1, 6), ()),
        (r"1.2 \times 10^{-3}", Fraction(3, 2500), ()),
        ("−5", Fraction(-5), ()),
        ("3.5 million", Fraction(3_500_000), ()),
        ("$1.5bn", Fraction(1_500_000_000), (("dollar", 1),)),
        ("15 cm²", Fraction(15), (("m", 2),)),
        ("36 km/h", Fraction(36), (("m", 1), ("s", -1))),
        (r"17^\circ", Fraction(17), (("degree", 1),)),
        (r"28\%", Fraction(28), (("percent", 1),)),
        ("twelve", Fraction(12), ()),
    ],
)
def test_readings(text: str, value: Fraction, dimension: tuple[tuple[str, int], ...]) -> None:
    quantity = read(text)
    assert quantity is not None
    assert (quantity.value, quantity.unit.dimension) == (value, dimension)


@pytest.mark.parametrize(
    "text", ["", "x", "5x", "5!", "3+4", "12:00", "1, 2", "(1,3)", "9/0", "1e999", "5^2", "4\\pi"]
)
def test_no_quantity(text: str) -> None:
    assert read(text) is None


NUMBERS = st.fractions(min_value=-10_000, max_value=10_000, max_denominator=40)


@given(NUMBERS, st.sampled_from(["{}", "${}$", r"\boxed{{{}}}", "**{}**", "The answer is {}."]))
def test_every_way_of_writing_a_fraction(number: Fraction, wrapper: str) -> None:
    """As a fraction, in LaTeX, as a mixed number; the sign in front or above."""
    whole, rest = divmod(abs(number), 1)
    sign = "-" if number < 0 else ""
    top, bottom = number.numerator, number.denominator
    spellings = [f"{top}/{bottom}", rf"\frac{{{top}}}{{{bottom}}}"]
    if rest and whole:
        spellings.append(rf"{sign}{whole}\frac{{{rest.numerator}}}{{{rest.denominator}}}")
    for spelling in spellings:
        quantity = read(wrapper.format(spelling))
        assert quantity is not None, spelling
        assert quantity.value == number


@given(st.integers(-(10**9), 10**9), st.integers(0, 5))
def test_every_way_of_writing_a_decimal(digits: int, places: int) -> None:
    """Thousands separated or not, with a dot; `$` for the currency does not change the number."""
    value = Fraction(digits, 10**places)
    plain = f"{digits / 10**places:.{places}f}"
    grouped = f"{digits / 10**places:,.{places}f}"
    for spelling in (plain, grouped, f"{plain}e0" if places else plain):
        quantity = read(spelling)
        assert quantity is not None, spelling
        assert quantity.value == value


LENGTHS = st.sampled_from([("mm", 1), ("cm", 10), ("m", 1_000), ("km", 1_000_000)])


@given(st.integers(1, 10_000), LENGTHS, LENGTHS)
def test_conversion(amount: int, unit: tuple[str, int], other: tuple[str, int]) -> None:
    """The same length in another unit is the same; with the unit's name alone changed it is not."""
    here = read(f"{amount} {unit[0]}")
    converted = read(f"{Fraction(amount * unit[1], other[1])} {other[0]}")
    renamed = read(f"{amount} {other[0]}")
    assert here is not None
    assert converted is not None
    assert renamed is not None
    assert same_quantity(here, converted)
    assert same_quantity(here, renamed) == (unit == other)


@pytest.mark.parametrize(
    ("answer", "gold", "same"),
    [
        ("12", "12 cm", True),
        ("12 cm", "12", True),
        ("12 cm", "12 m", False),
        ("12 cm", "12 apples", False),
        ("3 red apples", "3 apples", True),
        ("3 apples", "3 pears", False),
        ("1000 mL", "1 L", True),
        ("1 L", "1000 cm^3", True),
        ("10 m/s", "36 km/h", True),
        ("2 hours", "120 minutes", True),
        ("25%", "0.25", True),
        ("25%", "25", True),
        ("0.25", "25", False),
        ("25%", "25 cm", False),
        ("0.333333", "1/3", True),
        ("0.33", "1/3", False),
        ("0.00000012", "0.00000013", False),
    ],
)
def test_equality(answer: str, gold: str, same: bool) -> None:
    found, wanted = read(answer), read(gold)
    assert found is not None
    assert wanted is not None
    assert same_quantity(found, wanted) == same
    assert same_quantity(wanted, found) == same


def test_what_stands_behind_a_number_may_be_no_unit() -> None:
    assert read_unit("+ 3") is None
    assert read_unit("x") is None
    unit = read_unit(r"\text{ square units}")
    assert unit is not None
    assert unit.bare
