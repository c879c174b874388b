"""The second reading: what an answer says, by evaluating it in numbers.

It shares no code with the verifier's grading, and knows no computer algebra: an expression is what
it evaluates to at a few fixed points (`arithmetic`). Where a text is no mathematics it is read as
words. Any string has a reading; none raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from care_verl.tools.court.cursor import MAX_DEPTH
from care_verl.tools.court.plain_text import LONGEST, is_wording, mathematical, normal_text
from care_verl.tools.court.quantity import Quantity, literal, read_quantity
from care_verl.tools.court.structure import (
    enclosed,
    parts,
    relations,
    split_at,
    with_sign,
)
from care_verl.tools.court.symbols import NUMBER_WORDS
from care_verl.tools.court.tokens import Token, UnreadableError, tokenize

ReadingKind = Literal["quantity", "collection", "relation", "text", "unreadable", "none"]
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}")
_MAX_ITEMS = 50


@dataclass(frozen=True)
class Collection:
    """Several readings. brackets: as written; empty for a list, `∪` for a union."""

    brackets: str
    items: tuple[Reading, ...]


@dataclass(frozen=True)
class Relation:
    """Sides and the signs between them. name: the left side where it only names something."""

    signs: tuple[str, ...]
    sides: tuple[Reading, ...]
    name: str | None


@dataclass(frozen=True)
class Reading:
    """What a text says. text: its wording, normalised; reason: why it could not be read."""

    kind: ReadingKind
    text: str
    value: Quantity | Collection | Relation | None = None
    reason: str = ""


def read(text: str) -> Reading:
    """The reading of an answer. Takes time linear in the length of `text`; never raises."""
    wording = normal_text(text)
    if not wording:
        return Reading("none", wording)
    if wording in NUMBER_WORDS:
        return Reading("quantity", wording, literal(NUMBER_WORDS[wording]))
    if len(text) > LONGEST:
        return Reading("unreadable", wording, reason="a text too long to be one value")
    try:
        tokens = tokenize(mathematical(text))
        if is_wording(tokens) or _DATE.fullmatch(wording):
            return Reading("text", wording)
        return _read(tokens, wording, 0)
    except UnreadableError as reason:
        return Reading("unreadable", wording, reason=str(reason))


def _read(tokens: list[Token], wording: str, depth: int) -> Reading:
    """The reading of tokens, from the loosest notation to the tightest."""
    if depth > MAX_DEPTH:
        raise UnreadableError("nested too deeply")
    tokens = _unwrapped(tokens)
    if not tokens:
        raise UnreadableError("nothing stands there")
    for sign, brackets in ((",", ""), ("∪", "∪")):
        pieces = split_at(tokens, sign)
        if len(pieces) > 1:
            return _collection(brackets, pieces, wording, depth)
    if enclosed(tokens):
        return _bracketed(tokens, wording, depth)
    if relations(tokens)[0]:
        return _relation(tokens, wording, depth)
    pieces = split_at(tokens, ":")
    if len(pieces) > 1:
        return _collection(":", pieces, wording, depth)
    if [token.kind for token in tokens] == ["number", "operator", "number"] and (
        tokens[1].text == "-" and "." not in tokens[0].text + tokens[2].text
    ):
        # 18-29 is a range of ages, not -11.
        return _collection("-", [tokens[:1], tokens[2:]], wording, depth)
    if any(token.text == "±" for token in tokens):
        signed = [with_sign(tokens, sign) for sign in "+-"]
        return _collection("", signed, wording, depth)
    if is_wording(tokens):
        return Reading("text", normal_text(" ".join(token.text for token in tokens)))
    return Reading("quantity", wording, read_quantity(tokens))


def _unwrapped(tokens: list[Token]) -> list[Token]:
    """Without grouping around the whole, and without a relation before it, as in `≈ 5`."""
    while tokens:
        if tokens[0].text in ("{", "(") and enclosed(tokens) and len(parts(tokens)) == 1:
            tokens = tokens[1:-1]
        elif tokens[0].text == "=":
            tokens = tokens[1:]
        else:
            break
    return tokens


def _bracketed(tokens: list[Token], wording: str, depth: int) -> Reading:
    brackets = tokens[0].text + tokens[-1].text
    pieces = parts(tokens)
    return _collection(brackets, pieces, wording, depth)


def _collection(brackets: str, pieces: list[list[Token]], wording: str, depth: int) -> Reading:
    if len(pieces) > _MAX_ITEMS:
        raise UnreadableError(f"more than {_MAX_ITEMS} elements")
    items = tuple(_read(piece, _wording(piece), depth + 1) for piece in pieces)
    return Reading("collection", wording, Collection(brackets, items))


def _relation(tokens: list[Token], wording: str, depth: int) -> Reading:
    signs, pieces = relations(tokens)
    name = _name(pieces[0]) if len(set(signs)) == 1 and signs[0] in "=∈" else None
    if name is not None:
        # x = 10/2 = 5 is read by its last side.
        pieces, signs = [pieces[0], pieces[-1]], signs[:1]
        value = _read(pieces[1], _wording(pieces[1]), depth + 1)
        return Reading("relation", wording, Relation(tuple(signs), (_left(pieces[0]), value), name))
    sides = tuple(_read(piece, _wording(piece), depth + 1) for piece in pieces)
    return Reading("relation", wording, Relation(tuple(signs), sides, None))


def _left(tokens: list[Token]) -> Reading:
    """A named left side: a variable's values where it is one, so that equations compare whole."""
    if [token.kind for token in tokens] == ["name"]:
        return Reading("quantity", tokens[0].text, read_quantity(tokens))
    return Reading("text", _wording(tokens))


def _name(tokens: list[Token]) -> str | None:
    """What a left side such as `x`, `AB`, `f(x)` or `\\angle ABC` names; None for an expression."""
    inside = [token for token in tokens if token.kind not in ("open", "close")]
    kinds = {token.kind for token in inside}
    marks = {token.text for token in inside if token.kind == "mark"}
    if not inside or kinds - {"name", "word", "text", "mark", "constant"}:
        return None
    if marks - {"∠", "△", "\\overline", "\\widehat", "\\vec", "\\overrightarrow"}:
        return None
    return "".join(token.text for token in inside if token.kind != "mark")


def _wording(tokens: list[Token]) -> str:
    return normal_text(" ".join(token.text for token in tokens))
