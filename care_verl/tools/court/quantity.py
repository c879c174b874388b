"""A quantity: an expression's values, its variables, and the unit behind it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from care_verl.tools.court import arithmetic as at_points
from care_verl.tools.court.arithmetic import Values
from care_verl.tools.court.expression import evaluate
from care_verl.tools.court.tokens import Token, UnreadableError
from care_verl.tools.court.units import Unit, is_unit, read_unit

# 2 ab is a product, 8 men are men.
_SHORTEST_WORD = 3
_INFINITY = at_points.constant(float("inf"))


@dataclass(frozen=True)
class Quantity:
    """An expression's values at the points, its variables, its unit.

    literal: the number as it is written, where the expression is nothing but a number.
    """

    values: Values
    names: frozenset[str] = frozenset()
    unit: Unit | None = None
    literal: Decimal | None = None


def read_quantity(tokens: list[Token]) -> Quantity:
    """The quantity that tokens spell. Raises UnreadableError when they spell none."""
    tokens, unit = _with_unit(tokens)
    signs = [token.text for token in tokens[:-1]]
    last = tokens[-1]
    if signs in ([], ["+"], ["-"]):
        minus = signs == ["-"]
        if last.text == "inf":
            return Quantity(tuple(-value for value in _INFINITY) if minus else _INFINITY, unit=unit)
        if last.kind == "number":
            return literal(("-" if minus else "") + last.text, unit)
    values, names = evaluate(tokens)
    return Quantity(values, names, unit)


def literal(text: str, unit: Unit | None = None) -> Quantity:
    """A plain number as it is written. Raises UnreadableError for one beyond a float."""
    number = float(text)
    if abs(number) == float("inf"):
        raise UnreadableError("undefined, or too large")
    return Quantity(at_points.constant(number), unit=unit, literal=Decimal(text))


def _with_unit(tokens: list[Token]) -> tuple[list[Token], Unit | None]:
    """The expression, and the unit behind it or the currency before it."""
    if any(token.kind == "function" and token.text != "√" for token in tokens):
        return tokens, None
    currency = [token for token in tokens[:2] if token.kind == "currency"]
    rest = [token for token in tokens[:2] if token.kind != "currency"] + tokens[2:]
    for at in range(1, len(rest)):
        unit = read_unit(rest[at:] + currency) if _may_begin_a_unit(rest, at) else None
        if unit is not None:
            return rest[:at], unit
    return (rest, read_unit(currency)) if currency and rest else (tokens, None)


def _may_begin_a_unit(tokens: list[Token], at: int) -> bool:
    token, before = tokens[at], tokens[at - 1]
    if before.kind not in ("number", "close", "name", "constant", "word"):
        return False
    if token.kind in ("degree", "percent", "text", "currency"):
        return True
    if token.kind == "word":
        return is_unit(token.text) or (token.spaced and len(token.text) >= _SHORTEST_WORD)
    return token.kind == "name" and token.spaced and is_unit(token.text)
