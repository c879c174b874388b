"""Other ways to write a gold answer, which mean the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

_FRACTION = re.compile(r"(-?)([0-9]{1,6})/([0-9]{1,6})")
_LATEX_FRACTION = re.compile(r"(-?)\\[dt]?frac\s*\{\s*([0-9]{1,6})\s*\}\s*\{\s*([0-9]{1,6})\s*\}")
_DECIMAL = re.compile(r"-?[0-9]{1,6}\.[0-9]{1,4}")
_LETTER = re.compile(r"[A-J]")
_COMMANDS = re.compile(r"\\[a-zA-Z]+(?![a-zA-Z])")
_LARGEST_DENOMINATOR = 10_000


def rewritings(gold: str) -> Iterator[tuple[str, str]]:
    """Pairs of a rewriting's name and its text; a gold in `\\boxed{}` loses it first."""
    plain = gold.strip()
    if not plain:
        return
    if plain.startswith("\\boxed{") and plain.endswith("}"):
        plain = plain[len("\\boxed{") : -1].strip()
        yield "unboxed", plain
    else:
        yield "boxed", f"\\boxed{{{plain}}}"
    if plain[-1].isalnum() or plain[-1] == "}":
        yield "full stop", f"{plain}."
    if "$" not in plain and (_COMMANDS.search(plain) or plain[-1].isdigit()):
        yield "dollars", f"${plain}$"
    if _LETTER.fullmatch(plain):
        yield "letter in brackets", f"({plain})"
        yield "emphasised letter", f"**{plain}**"
    yield from _fractions(plain)
    if "\\frac" in plain:
        yield "dfrac", plain.replace("\\frac", "\\dfrac")
    if plain.startswith("-"):
        yield "minus sign", f"\u2212{plain[1:]}"


def _fractions(plain: str) -> Iterator[tuple[str, str]]:
    written = _FRACTION.fullmatch(plain) or _LATEX_FRACTION.fullmatch(plain)
    if written and int(written[3]):
        sign, above, below = written.groups()
        if written.re is _FRACTION:
            yield "LaTeX fraction", rf"{sign}\frac{{{above}}}{{{below}}}"
        else:
            yield "plain fraction", f"{sign}{above}/{below}"
        value = Fraction(int(f"{sign}{above}"), int(below))
        if _LARGEST_DENOMINATOR % value.denominator == 0:
            decimal = value * _LARGEST_DENOMINATOR
            yield "decimal", _decimal(int(decimal))
    elif _DECIMAL.fullmatch(plain):
        value = Fraction(plain)
        yield "fraction", f"{value.numerator}/{value.denominator}"


def _decimal(ten_thousandths: int) -> str:
    sign, digits = ("-" if ten_thousandths < 0 else ""), f"{abs(ten_thousandths):05d}"
    return f"{sign}{digits[:-4]}.{digits[-4:]}".rstrip("0").rstrip(".")
