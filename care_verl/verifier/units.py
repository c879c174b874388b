"""Units of measurement: which are the same, which convert into each other, which contradict.

A unit is a product of powers of base units with an exact factor, so `0.12 m` is `12 cm` and
`36 km/h` is `10 m/s`. A word that is no known unit (`12 apples`) is kept as a word.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction

from care_verl.verifier.unit_names import LITRE, METRE, SCALES, base_unit

_NO_UNIT = {"unit", "units"}
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
        entry = base_unit(match[1]) if match else None
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
    if dimension == ((LITRE, 1),):
        return ((METRE, 3),), factor / 1000
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
        elif piece.lower() in SCALES:
            scale *= SCALES[piece.lower()]
        elif re.sub(r"\^[23]$", "", piece.lower()) not in _NO_UNIT:
            tokens.append((piece, sign))
    return tokens, scale


def _singular(words: str) -> frozenset[str]:
    singular = (word.removesuffix("s") for word in re.findall(r"[^\W\d_]+", words.casefold()))
    return frozenset(singular)
