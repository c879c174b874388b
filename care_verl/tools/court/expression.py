"""A recursive-descent reader of mathematical expressions, which evaluates while it reads.

    sum      = product {("+" | "-") product}
    product  = signed {("*" | "/" | nothing) signed}
    signed   = {"+" | "-"} power
    power    = postfix ["^" signed]
    postfix  = atom {"!" | "%" | "°"}
    atom     = number | mixed number | name | constant | \\frac | \\sqrt | function | (sum) | |sum|

The depth of nesting is bounded, and each token is read once.
"""

from __future__ import annotations

import math

from care_verl.tools.court import arithmetic as at_points
from care_verl.tools.court.arithmetic import Values
from care_verl.tools.court.cursor import Cursor
from care_verl.tools.court.structure import letter_by_letter
from care_verl.tools.court.tokens import Token, UnreadableError

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}


def evaluate(tokens: list[Token]) -> tuple[Values, frozenset[str]]:
    """The value of an expression, and the names of its variables.

    Raises UnreadableError when the tokens are no expression, or one without a value anywhere.
    """
    tokens = letter_by_letter(tokens)
    reader = _Reader(tokens)
    values = reader.sum()
    if reader.at < len(tokens):
        raise UnreadableError(f"cannot go on at {tokens[reader.at].text!r}")
    if not any(at_points.is_defined(value) for value in values):
        raise UnreadableError("undefined, or too large")
    return values, frozenset(reader.names)


class _Reader(Cursor):
    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.bars = 0
        self.names: set[str] = set()

    def sum(self) -> Values:
        self.deeper()
        total = self._product()
        while self.sees("+") or self.sees("-"):
            minus = self.take().text == "-"
            term = self._product()
            total = at_points.add(total, at_points.negate(term) if minus else term)
        self.depth -= 1
        return total

    def _product(self) -> Values:
        result = self._signed()
        while True:
            if self.sees("*"):
                self.take()
                result = at_points.multiply(result, self._signed())
            elif self.sees("/"):
                self.take()
                result = self._divided(result)
            elif self._factor_follows():
                result = at_points.multiply(result, self._power())
            else:
                return result

    def _divided(self, above: Values) -> Values:
        """1/2x may be (1/2)x or 1/(2x): both are evaluated."""
        below = self._signed()
        result = at_points.divide(above, below)
        if not self._factor_follows():
            return result
        rest = at_points.constant(1)
        while self._factor_follows():
            rest = at_points.multiply(rest, self._power())
        wide = at_points.divide(above, at_points.multiply(below, rest))
        return at_points.alternate(at_points.multiply(result, rest), wide)

    def _signed(self) -> Values:
        minus = False
        while self.sees("+") or self.sees("-"):
            minus ^= self.take().text == "-"
        values = self._power()
        return at_points.negate(values) if minus else values

    def _power(self) -> Values:
        self.deeper()
        base = self._postfix()
        if self.sees("^"):
            self.take()
            base = at_points.power(base, self._signed())
        self.depth -= 1
        return base

    def _postfix(self) -> Values:
        values = self._atom()
        while True:
            if self.sees("!"):
                self.take()
                values = at_points.factorial(values)
            elif self.peek().kind == "percent":
                self.take()
                values = at_points.multiply(values, at_points.constant(0.01))
            elif self.peek().kind == "degree":
                self.take()
                values = at_points.multiply(values, at_points.constant(math.pi / 180))
            else:
                return values

    def _atom(self) -> Values:
        token = self.take()
        if token.kind == "number":
            return self._number(token)
        if token.kind == "constant":
            return _constant(token.text)
        if token.kind == "name":
            return self._variable(token.text)
        if token.kind == "function":
            return self._function(token.text)
        if token.kind == "command":
            return self._fraction() if token.text == "frac" else self._root()
        if token.kind == "open" and token.text in _CLOSING:
            return self._inside(_CLOSING[token.text])
        if token.text == "|":
            return self._absolute()
        raise UnreadableError(f"no value begins with {token.text!r}")

    def _number(self, token: Token) -> Values:
        whole = at_points.constant(float(token.text))
        if not token.text.isdigit():
            return whole
        part = self._proper_fraction()
        return at_points.add(whole, at_points.constant(part)) if part is not None else whole

    def _proper_fraction(self) -> float | None:
        """The fraction of a mixed number such as 3 1/2 or 3\\frac{1}{2}, if one follows."""
        texts = [token.text for token in self.tokens[self.at : self.at + 7]]
        if len(texts) == 7 and [texts[i] for i in (0, 1, 3, 4, 6)] == ["frac", "{", "}", "{", "}"]:
            above, below, length = texts[2], texts[5], 7
        elif len(texts) >= 3 and texts[1] == "/" and self.peek().spaced:
            above, below, length = texts[0], texts[2], 3
        else:
            return None
        if not (above.isdigit() and below.isdigit() and 0 < int(above) < int(below)):
            return None
        self.at += length
        return int(above) / int(below)

    def _variable(self, name: str) -> Values:
        self.names.add(name)
        return at_points.variable(name)

    def _fraction(self) -> Values:
        above = self._argument()
        return at_points.divide(above, self._argument())

    def _root(self) -> Values:
        index = at_points.constant(2)
        if self.sees("["):
            self.take()
            index = self._inside("]")
        return at_points.root(self._argument(), index)

    def _argument(self) -> Values:
        """The argument of a LaTeX command: a group, or one digit or letter."""
        token = self.take()
        if token.text == "{":
            return self._inside("}")
        if token.text == "(":
            return self._inside(")")
        if token.kind == "number" and len(token.text) == 1:
            return at_points.constant(float(token.text))
        if token.kind == "name":
            return self._variable(token.text)
        if token.kind == "constant":
            return _constant(token.text)
        raise UnreadableError("a command without braces around its argument")

    def _function(self, name: str) -> Values:
        self.deeper()
        base = None
        if name == "log" and self.sees("_"):
            self.take()
            base = self._argument() if self.sees("{") else self._atom()
        exponent = None
        if self.sees("^"):
            self.take()
            exponent = self._signed()
        if exponent == at_points.constant(-1) and name in _INVERSE:
            name, exponent = _INVERSE[name], None
        operand = self._operand(name)
        values = (
            at_points.logarithm(operand, base) if name == "log" else at_points.apply(name, operand)
        )
        self.depth -= 1
        return at_points.power(values, exponent) if exponent else values

    def _operand(self, name: str) -> Values:
        """(…), or the factors that follow up to the next function: sin 2x is sin(2x)."""
        if self.peek().text in ("(", "{", "[") or name == "√":
            return self._postfix() if name == "√" else self._atom()
        values = self._signed()
        while self._factor_follows() and self.peek().kind not in ("function", "open"):
            values = at_points.multiply(values, self._power())
        return values

    def _absolute(self) -> Values:
        self.bars += 1
        values = self.sum()
        if not self.sees("|"):
            raise UnreadableError("a bar that is not closed")
        self.take()
        self.bars -= 1
        return at_points.apply("abs", values)

    def _inside(self, closing: str) -> Values:
        bars, self.bars = self.bars, 0
        values = self.sum()
        if self.take().text != closing:
            raise UnreadableError(f"a bracket without its {closing!r}")
        self.bars = bars
        return values

    def _factor_follows(self) -> bool:
        token = self.peek()
        if token.text == "|":
            return not self.bars
        if token.kind == "number":
            # Two numbers side by side are no product: 2 3 may be anything.
            return self.tokens[self.at - 1].kind in ("close", "constant") and not token.spaced
        return token.kind in ("name", "constant", "function", "command", "open")


def _constant(name: str) -> Values:
    if name == "inf":
        raise UnreadableError("arithmetic with infinity")
    return at_points.constant({"pi": math.pi, "e": math.e, "i": 1j}[name])
