"""From the text of an answer, plain or LaTeX, to a flat list of tokens.

The text is read once, from left to right, and is bounded in length: what is longer than MAX_LENGTH
characters is no value that could be evaluated.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from care_verl.common.errors import CareVerlError
from care_verl.tools.court import symbols

MAX_LENGTH = 500

Kind = Literal[
    "number",
    "name",
    "word",
    "text",
    "constant",
    "function",
    "command",
    "operator",
    "relation",
    "open",
    "close",
    "degree",
    "percent",
    "currency",
    "mark",
]


class UnreadableError(CareVerlError, ValueError):
    """The text is no mathematics that this reading knows; the message says why."""


@dataclass(frozen=True)
class Token:
    """One token. spaced: white space stood before it."""

    kind: Kind
    text: str
    spaced: bool = False


_PIECE = re.compile(
    r"(?P<space>[\s~]+)|(?P<command>\\[A-Za-z]+|\\.)|(?P<letters>[A-Za-z]+)|(?P<sign>.)", re.DOTALL
)
_EXPONENT = r"(?:[eE][+-]?[0-9]{1,4}(?![A-Za-z0-9]))?"
_NUMBER = re.compile(rf"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+){_EXPONENT}")
_GROUPED = re.compile(r"[0-9]{1,3}(?:(?:,\\!|,|\{,\}|\\,)[0-9]{3})+(?![0-9])(?:\.[0-9]+)?")
_SUBSCRIPT = re.compile(r"_\{?\s*([A-Za-z0-9]{1,12})\s*\}?")
_BARE_FRACTION = re.compile(r"\\[dtc]?frac\s*([0-9])\s*([0-9])")
_HALF_BARE_FRACTION = re.compile(r"\\[dtc]?frac\s*([0-9])\s*\{")
_PLAIN_GROUP = re.compile(r"\s*\{([A-Za-z .\-]*)\}")


def tokenize(text: str) -> list[Token]:
    """The tokens of `text`. Raises UnreadableError for a text that is too long."""
    if len(text) > MAX_LENGTH:
        raise UnreadableError("a text too long to be one value")
    return _joined_degrees(_Lexer(expand(text)).tokens())


def expand(text: str) -> str:
    """`text` with typographic characters written out: ½ as a fraction, ² as ^{2}, − as -."""
    runs = (_written_out(form, "".join(run)) for form, run in groupby(text, _form))
    plain = unicodedata.normalize("NFKC", "".join(runs))
    plain = _BARE_FRACTION.sub(r"\\frac{\1}{\2}", plain)
    return _HALF_BARE_FRACTION.sub(r"\\frac{\1}{", plain)


def _form(char: str) -> str:
    """The tag of the character's decomposition in Unicode: `<super>`, `<fraction>`, or another."""
    return unicodedata.decomposition(char).partition(" ")[0]


def _written_out(form: str, run: str) -> str:
    normal = unicodedata.normalize("NFKC", run)
    if form == "<super>":
        return f"^{{{normal}}}"
    if form == "<sub>":
        return f"_{{{normal}}}"
    if form == "<fraction>" and len(run) == 1:
        above, _, below = normal.partition("\u2044")
        return rf"\frac{{{above}}}{{{below}}}"
    return "".join(symbols.TYPOGRAPHY.get(char, char) for char in run)


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.spaced = False
        self.found: list[Token] = []

    def tokens(self) -> list[Token]:
        while self.at < len(self.text):
            self._step()
        return self.found

    def _put(self, kind: Kind, text: str) -> None:
        self.depth += (kind == "open" and text != "{") - (kind == "close" and text != "}")
        self.found.append(Token(kind, text, self.spaced))
        self.spaced = False

    def _step(self) -> None:
        # Inside brackets a comma separates: (1,234) is a pair, 1,234 is a number.
        number = _GROUPED.match(self.text, self.at) if self.depth <= 0 else None
        number = number or _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            self._put("number", re.sub(r"[^0-9.eE+-]", "", number.group()))
            return
        piece = _PIECE.match(self.text, self.at)
        assert piece is not None
        self.at = piece.end()
        if piece["space"]:
            self.spaced = True
        elif piece["command"]:
            self._command(piece["command"][1:])
        elif piece["letters"]:
            self._letters(piece["letters"])
        else:
            self._sign(piece["sign"])

    def _command(self, name: str) -> None:
        if name in symbols.SPACING:
            self.spaced = True
        elif name in symbols.TEXT_COMMANDS:
            self._text_group()
        elif name in symbols.COMMAND_TOKENS:
            kind, text = symbols.COMMAND_TOKENS[name]
            self._put(kind, text)
        elif name in symbols.FUNCTIONS:
            self._put("function", name)
        elif name in symbols.GREEK:
            self._name(name)
        elif name not in symbols.SILENT:
            self._put("mark", "\\" + name)

    def _text_group(self) -> None:
        group = _PLAIN_GROUP.match(self.text, self.at)
        if group is None:
            return
        self.at = group.end()
        for word in group[1].replace(".", " ").split():
            self.spaced = self.spaced or group[1][:1].isspace() or len(group[1].split()) > 1
            if word in symbols.CONNECTIVES:
                self._put("operator", ",")
            elif word in ("e", "i"):
                self._put("constant", word)
            else:
                self._put("text", word)

    def _letters(self, letters: str) -> None:
        if letters in symbols.WORD_TOKENS:
            kind, text = symbols.WORD_TOKENS[letters]
            self._put(kind, text)
        elif letters in symbols.FUNCTIONS:
            self._put("function", letters)
        elif letters.lower() in symbols.CONNECTIVES:
            self._put("operator", ",")
        elif letters in ("e", "i"):
            self._put("constant", letters)
        elif len(letters) == 1:
            self._name(letters)
        else:
            self._put("word", letters)

    def _name(self, name: str) -> None:
        subscript = _SUBSCRIPT.match(self.text, self.at)
        if subscript:
            self.at = subscript.end()
            name = f"{name}_{subscript[1]}"
        self._put("name", name)

    def _sign(self, sign: str) -> None:
        if sign in symbols.SIGN_TOKENS:
            kind, text = symbols.SIGN_TOKENS[sign]
            self._put(kind, text)
        elif sign in symbols.GREEK_LETTERS:
            self._name(symbols.GREEK_LETTERS[sign])
        else:
            self._put("mark", sign)


def _joined_degrees(tokens: list[Token]) -> list[Token]:
    """`^\\circ` and `^{\\circ}` as one token each."""
    joined: list[Token] = []
    at = 0
    while at < len(tokens):
        shape = [token.text for token in tokens[at : at + 4]]
        if shape[:2] == ["^", "°"] or shape == ["^", "{", "°", "}"]:
            joined.append(Token("degree", "°", tokens[at].spaced))
            at += 2 if shape[1] == "°" else 4
        else:
            joined.append(tokens[at])
            at += 1
    return joined
