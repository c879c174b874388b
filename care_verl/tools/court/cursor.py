"""A place in a list of tokens, and how deep the reading of it is nested."""

from __future__ import annotations

from care_verl.tools.court.tokens import Token, UnreadableError

MAX_DEPTH = 60
_END = Token("mark", "")


class Cursor:
    """Reads tokens from left to right. at: number of tokens that were passed."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def deeper(self) -> None:
        """One level down. Raises UnreadableError below MAX_DEPTH."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError("nested too deeply")

    def peek(self) -> Token:
        """The next token; an empty mark at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else _END

    def sees(self, text: str) -> bool:
        """Whether the next token is `text`."""
        return self.peek().text == text

    def take(self) -> Token:
        """The next token, which is passed."""
        token = self.peek()
        self.at += 1
        return token
