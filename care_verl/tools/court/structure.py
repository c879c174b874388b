"""Where a list of tokens falls apart: brackets, separators, relations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from care_verl.tools.court.tokens import Token, UnreadableError
from care_verl.tools.court.units import is_unit

_LONGEST_PRODUCT_OF_LETTERS = 3
_MUST_MATCH = {"{": "}", "set": "set"}


def split_at(tokens: list[Token], sign: str) -> list[list[Token]]:
    """The pieces between the operators `sign` that stand outside all brackets."""
    return _split(tokens, lambda token: token.kind == "operator" and token.text == sign)


def relations(tokens: list[Token]) -> tuple[list[str], list[list[Token]]]:
    """The relation signs outside all brackets, and the sides between them, one more than signs."""
    signs = [
        token.text for token, depth in _with_depth(tokens) if not depth and token.kind == "relation"
    ]
    return signs, _split(tokens, lambda token: token.kind == "relation")


def enclosed(tokens: list[Token]) -> bool:
    """Whether one pair of brackets encloses all; `(` and `[` may be mixed, as in (0,1]."""
    if len(tokens) < 2 or tokens[0].kind != "open" or tokens[-1].kind != "close":
        return False
    if _MUST_MATCH.get(tokens[0].text, tokens[-1].text) != tokens[-1].text:
        return False
    inner = [depth for _, depth in _with_depth(tokens)][1:-1]
    return all(depth > 0 for depth in inner)


def parts(tokens: list[Token]) -> list[list[Token]]:
    """The elements between the brackets of an enclosed list."""
    return split_at(tokens[1:-1], ",")


def with_sign(tokens: list[Token], sign: str) -> list[Token]:
    """With every ± read as `sign`."""
    signed = Token("operator", sign)
    return [signed if token.text == "±" else token for token in tokens]


def letter_by_letter(tokens: list[Token]) -> list[Token]:
    """With short words as products: `2ab^2` is 2·a·b^2.

    Raises UnreadableError for a unit or a longer word.
    """
    single: list[Token] = []
    for token in tokens:
        if token.kind != "word":
            single.append(token)
        elif is_unit(token.text):
            raise UnreadableError("a unit inside an expression")
        elif len(token.text) > _LONGEST_PRODUCT_OF_LETTERS:
            raise UnreadableError("a word inside an expression")
        else:
            single += [
                Token("constant" if letter in ("e", "i") else "name", letter)
                for letter in token.text
            ]
    return single


def _split(tokens: list[Token], separates: Callable[[Token], bool]) -> list[list[Token]]:
    pieces: list[list[Token]] = [[]]
    for token, depth in _with_depth(tokens):
        if not depth and separates(token):
            pieces.append([])
        else:
            pieces[-1].append(token)
    return pieces


def _with_depth(tokens: list[Token]) -> Iterator[tuple[Token, int]]:
    """Each token with the number of brackets it stands in; an opening one stands outside its own,
    a closing one inside."""
    depth = 0
    for token in tokens:
        yield token, depth
        depth += (token.kind == "open") - (token.kind == "close")
