"""Tuples, sets, intervals and plain lists: read into items, compared by their brackets' meaning.

`(1, 2)` is ordered and no set; `{1, 2}` is a set; `[0, 1)` is an interval, and its brackets count;
a list without brackets, `1 and 2`, has no order.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

_MOST_ITEMS = 16
_AND = re.compile(
    r"\s*,?\s*(?:\\(?:text|mathrm|mbox)\s*\{\s*(?:and|or)\s*\}|(?<![A-Za-z\\])(?:and|or)(?![a-z]))\s*"
)
_OPENING, _CLOSING = "([{", ")]}"


@dataclass(frozen=True)
class Listing:
    """Items between brackets.

    items: each without the spaces around it.
    brackets: the two brackets, such as `()`, `[)` or `{}`; empty for a list without.
    """

    items: tuple[str, ...]
    brackets: str

    def __str__(self) -> str:
        opening, closing = self.brackets[:1], self.brackets[1:]
        if self.brackets == "{}":
            opening, closing = r"\{", r"\}"
        return f"{opening}{', '.join(self.items)}{closing}"


def read_list(text: str) -> Listing | None:
    """The list that a cleaned answer is; None when it is none.

    Two items or more make a list; one does between the braces of a set.
    """
    text = text.strip()
    is_set = text.startswith("\\{")
    text = text.replace("\\{", "{").replace("\\}", "}")
    brackets = _brackets(text)
    inner = text[1:-1] if brackets else text
    pieces = _split(_AND.sub(", ", inner))
    items = tuple(piece.strip() for piece in pieces)
    if not all(items) or len(items) > _MOST_ITEMS:
        return None
    if brackets == "()" and len(items) == 1:
        # Parentheses around a list in brackets of its own only group.
        return read_list(inner)
    if brackets == "{}" and not is_set:
        # Braces without a backslash only group.
        brackets = ""
    return Listing(items, brackets) if len(items) > 1 or brackets == "{}" else None


def same_list(answer: Listing, gold: Listing, same: Callable[[str, str], bool]) -> bool:
    """Whether the items agree, in the order and between the brackets that the gold answer asks for.

    same: compares an item of the answer with one of the gold answer.
    """
    if len(answer.items) != len(gold.items):
        return False
    if answer.brackets == gold.brackets:
        ordered = gold.brackets not in ("", "{}")
    elif {answer.brackets, gold.brackets} <= {"", "()"}:
        ordered = True
    elif {answer.brackets, gold.brackets} <= {"", "{}"}:
        ordered = False
    else:
        return False
    if ordered:
        return all(same(a, g) for a, g in zip(answer.items, gold.items, strict=True))
    return _same_unordered(list(answer.items), list(gold.items), same)


def _same_unordered(answer: list[str], gold: list[str], same: Callable[[str, str], bool]) -> bool:
    for item in gold:
        found = next((index for index, other in enumerate(answer) if same(other, item)), None)
        if found is None:
            return False
        del answer[found]
    return True


def _brackets(text: str) -> str:
    """First and last character, if the bracket that the text begins with closes at its end."""
    if len(text) < 2 or text[0] not in _OPENING or text[-1] not in _CLOSING:
        return ""
    depth = 0
    for index, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth == 0:
            return text[0] + text[-1] if index == len(text) - 1 else ""
    return ""


def _split(text: str) -> list[str]:
    """The text cut at its semicolons or else its commas, those inside brackets apart."""
    separators: list[int] = []
    semicolons: list[int] = []
    depth = 0
    for index, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth == 0 and character == ",":
            separators.append(index)
        elif depth == 0 and character == ";":
            semicolons.append(index)
    cuts = semicolons or _without_thousands(text, separators)
    begins = [0, *(cut + 1 for cut in cuts)]
    return [text[begin:end] for begin, end in zip(begins, [*cuts, len(text)], strict=True)]


def _without_thousands(text: str, commas: list[int]) -> list[int]:
    """Where some commas are followed by a space, those inside of digits separate thousands."""
    spaced = [comma for comma in commas if text[comma + 1 : comma + 2].isspace()]
    if not spaced:
        return commas
    thousands = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
    inside = {match.start() for match in thousands.finditer(text)}
    return [comma for comma in commas if comma not in inside]
