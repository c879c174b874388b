"""The wording of an answer: what is left of a text without its mark-up."""

from __future__ import annotations

import re
import unicodedata

from care_verl.tools.court.tokens import Token

LONGEST = 10_000
_WRAPPER = re.compile(
    r"\\(?:text|mathrm|textbf|mathbf|textit|mbox|textrm|operatorname|boxed|fbox)\s*\{([^{}]*)\}"
)
_DELIMITER = re.compile(r"(?<!\\)\$|\\[()\[\]]")
_UNESCAPED_DOLLAR = re.compile(r"(?<!\\)\$")
_DISPLAY = re.compile(r"\\[()\[\]]")
_HYPHEN = re.compile(r"(?<=[^\W\d])-(?=[^\W\d])")
_ARTICLE = re.compile(r"^(?:the|an?) (?=\w)")
_EDGES = " \t\r\n.,;:*`'\"“”‘’"
_LEADING_EDGES = " \t\r\n*`'\"“”‘’"
_SHORT = 3


def normal_text(text: str) -> str:
    """Wording without mark-up, case, an article, a hyphen or a full stop at its end."""
    if len(text) > LONGEST:
        return text.strip().casefold()
    plain = _DELIMITER.sub("", _WRAPPER.sub(r"\1", text))
    plain = " ".join(unicodedata.normalize("NFKC", plain).casefold().split())
    plain = plain.lstrip(_LEADING_EDGES).rstrip(_EDGES)
    return _ARTICLE.sub("", _HYPHEN.sub(" ", plain))


def unwrapped(text: str) -> str:
    """`text` without emphasis, delimiters of mathematics, and commands around plain text."""
    return _DELIMITER.sub("", _WRAPPER.sub(r"\1", text[:LONGEST])).strip(_LEADING_EDGES)


def mathematical(text: str) -> str:
    """`text` without what delimits mathematics in a line, emphasis, and a full stop at its end.

    An odd dollar sign is a currency and stays.
    """
    plain = _DISPLAY.sub(" ", text.strip().strip("*`"))
    if len(_UNESCAPED_DOLLAR.findall(plain)) % 2 == 0:
        plain = _UNESCAPED_DOLLAR.sub(" ", plain)
    return plain.strip().rstrip(".,;").strip()


def is_wording(tokens: list[Token]) -> bool:
    """Whether the tokens are words, not mathematics. `red` is a word, not r·e·d."""
    words = [token for token in tokens if token.kind in ("word", "text")]
    if not words or any(not _is_wordlike(token) for token in tokens):
        return False
    if len(tokens) == 1:
        return True
    return any(token.kind == "text" or len(token.text) > _SHORT for token in words)


def _is_wordlike(token: Token) -> bool:
    if token.kind == "operator":
        return token.text in "-/!"
    if token.kind == "mark":
        return token.text not in "∠△∅" and not token.text.startswith("\\")
    return token.kind in ("word", "text", "name", "constant")
