"""Bounded arithmetic at several points at once.

A value is a tuple of POINTS complex numbers: an expression evaluated at POINTS assignments of its
variables. What is undefined or too large at a point is NaN there. Every operation takes constant
time, whatever its operands: 9^{9^{9}} overflows, it is never computed.
"""

from __future__ import annotations

import cmath
import hashlib
import math
from collections.abc import Callable

Values = tuple[complex, ...]

POINTS = 6
# Variables are positive at the first points and of either sign at the others: sqrt(x^2) and x agree
# at some points only, which a comparison reports as a doubt.
_POSITIVE_POINTS = 3
_MAX_FACTORIAL = 170
_NAN = complex(math.nan, math.nan)


def constant(number: complex) -> Values:
    """The same number at every point."""
    return (complex(number),) * POINTS


def variable(name: str) -> Values:
    """Fixed pseudo-random reals of magnitude 0.5 to 2.5, which depend on the name alone."""
    values = []
    for point in range(POINTS):
        digest = hashlib.sha256(f"{name}/{point}".encode("utf-8", "surrogatepass")).digest()
        size = 0.5 + 2.0 * int.from_bytes(digest[:6], "big") / 2**48
        negative = point >= _POSITIVE_POINTS and digest[6] % 2 == 0
        values.append(complex(-size if negative else size))
    return tuple(values)


def is_defined(number: complex) -> bool:
    """Whether a point has a value."""
    return cmath.isfinite(number)


def size(number: complex) -> float:
    """Absolute value; infinite where `abs` overflows."""
    return math.hypot(number.real, number.imag)


def add(left: Values, right: Values) -> Values:
    """left + right."""
    return _both(lambda a, b: a + b, left, right)


def multiply(left: Values, right: Values) -> Values:
    """left · right."""
    return _both(lambda a, b: a * b, left, right)


def divide(left: Values, right: Values) -> Values:
    """left / right."""
    return _both(lambda a, b: a / b, left, right)


def negate(values: Values) -> Values:
    """-values."""
    return tuple(-value for value in values)


def power(base: Values, exponent: Values) -> Values:
    """base ^ exponent; undefined for a fractional power of a negative number."""
    return _both(_power, base, exponent)


def root(radicand: Values, index: Values) -> Values:
    """The principal root; the real one for an odd index and a negative radicand."""
    return _both(_root, radicand, index)


def factorial(values: Values) -> Values:
    """n! for whole numbers up to 170."""
    return _each(_factorial, values)


def apply(name: str, values: Values) -> Values:
    """A function by its name."""
    return _each(_FUNCTIONS[name], values)


def logarithm(values: Values, base: Values | None) -> Values:
    """log to a base; without one, the natural or the decimal: both are evaluated."""
    natural = apply("ln", values)
    if base is not None:
        return divide(natural, apply("ln", base))
    return alternate(natural, apply("lg", values))


def alternate(even: Values, odd: Values) -> Values:
    """`even` at every second point, `odd` at the others: two ways to read one notation.

    Whatever it is compared with agrees at all points only if both ways agree.
    """
    return tuple((even, odd)[point % 2][point] for point in range(POINTS))


def _power(base: complex, exponent: complex) -> complex:
    fractional = exponent.imag == 0 and exponent.real != math.floor(exponent.real)
    if base.imag == 0 and base.real < 0 and fractional:
        return _NAN
    return base**exponent


def _root(radicand: complex, index: complex) -> complex:
    if index == 2:
        return cmath.sqrt(radicand)
    odd = index.imag == 0 and index.real % 2 == 1
    if odd and radicand.imag == 0 and radicand.real < 0:
        return -((-radicand) ** (1 / index))
    return _power(radicand, 1 / index)


def _factorial(number: complex) -> complex:
    whole = number.imag == 0 and number.real == math.floor(number.real)
    if not whole or not 0 <= number.real <= _MAX_FACTORIAL:
        return _NAN
    return complex(math.factorial(int(number.real)))


_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "cot": lambda z: 1 / cmath.tan(z),
    "sec": lambda z: 1 / cmath.cos(z),
    "csc": lambda z: 1 / cmath.sin(z),
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
    "sinh": cmath.sinh,
    "cosh": cmath.cosh,
    "tanh": cmath.tanh,
    "ln": cmath.log,
    "lg": cmath.log10,
    "exp": cmath.exp,
    "√": cmath.sqrt,
    "abs": lambda z: complex(size(z)),
}


def _each(operation: Callable[[complex], complex], values: Values) -> Values:
    return tuple(_guarded(operation, value) for value in values)


def _both(operation: Callable[[complex, complex], complex], left: Values, right: Values) -> Values:
    return tuple(_guarded(operation, a, b) for a, b in zip(left, right, strict=True))


def _guarded(operation: Callable[..., complex], *operands: complex) -> complex:
    if not all(cmath.isfinite(operand) for operand in operands):
        return _NAN
    try:
        result = operation(*operands)
    except (OverflowError, ZeroDivisionError, ValueError):
        return _NAN
    return result if cmath.isfinite(result) else _NAN
