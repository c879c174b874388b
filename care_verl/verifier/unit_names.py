"""Names of units of measurement and of large numbers, each with what it is worth."""

from fractions import Fraction

METRE, GRAM, SECOND, LITRE = "m", "g", "s", "L"
# base unit, factor to it, spellings
_SPELLINGS: list[tuple[str, int, Fraction | int | str, str]] = [
    (METRE, 1, "1/1000000000", "nm nanometer nanometre"),
    (METRE, 1, "1/1000000", "um µm μm micrometer micrometre micron"),
    (METRE, 1, "1/1000", "mm millimeter millimetre"),
    (METRE, 1, "1/100", "cm centimeter centimetre"),
    (METRE, 1, "1/10", "dm decimeter decimetre"),
    (METRE, 1, 1, "m meter metre"),
    (METRE, 1, 1000, "km kilometer kilometre"),
    (METRE, 1, "0.0254", "in inch inches"),
    (METRE, 1, "0.3048", "ft foot feet"),
    (METRE, 1, "0.9144", "yd yard"),
    (METRE, 1, "1609.344", "mi mile"),
    (METRE, 2, 10000, "ha hectare"),
    (METRE, 2, "4046.8564224", "acre"),
    (LITRE, 1, "1/1000", "ml mL milliliter millilitre"),
    (LITRE, 1, 1, "l L liter litre"),
    (GRAM, 1, "1/1000", "mg milligram"),
    (GRAM, 1, 1, "g gram gramme"),
    (GRAM, 1, 1000, "kg kilogram kilo"),
    (GRAM, 1, 1000000, "t ton tonne"),
    (GRAM, 1, "453.59237", "lb lbs pound"),
    (GRAM, 1, "28.349523125", "oz ounce"),
    (SECOND, 1, "1/1000", "ms millisecond"),
    (SECOND, 1, 1, "s sec second"),
    (SECOND, 1, 60, "min mins minute"),
    (SECOND, 1, 3600, "h hr hrs hour"),
    (SECOND, 1, 86400, "day"),
    (SECOND, 1, 604800, "week"),
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
SCALES = {
    "dozen": 12,
    "thousand": 10**3,
    "million": 10**6,
    "mn": 10**6,
    "billion": 10**9,
    "bn": 10**9,
    "trillion": 10**12,
    "tn": 10**12,
}


def _table() -> dict[str, tuple[str, int, Fraction]]:
    table = {}
    for base, power, factor, spellings in _SPELLINGS:
        for spelling in spellings.split():
            table[spelling] = (base, power, Fraction(factor))
            if len(spelling) > 2 and spelling.islower() and not spelling.endswith("s"):
                table[spelling + "s"] = table[spelling]
    return table


_UNITS = _table()


def base_unit(word: str) -> tuple[str, int, Fraction] | None:
    """Base unit, power and factor of the unit that `word` names; None when it names none."""
    if word in _UNITS:
        return _UNITS[word]
    return _UNITS.get(word.lower()) if len(word) > 1 else None
