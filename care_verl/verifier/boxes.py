"""`\\boxed{…}`: what stands in it, and what the text around it adds."""

import re
from itertools import islice

from care_verl.verifier.units import read_unit

_LONGEST_UNIT = 40
_MOST_BOXES = 8
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")


def focused(text: str) -> str:
    """The one box of a longer text, with the unit behind it; the text itself where it has none.

    Boxes that differ are no one answer, and none of them is chosen. text: of any length.
    """
    boxes = [match.end() - 1 for match in islice(_BOX.finditer(text), _MOST_BOXES + 1)]
    if not boxes or len(boxes) > _MOST_BOXES:
        return text
    ends = [closing_brace(text, opening) for opening in boxes]
    contents = {"".join(text[a + 1 : b].split()) for a, b in zip(boxes, ends, strict=True)}
    if min(ends) < 0 or len(contents) > 1:
        return text
    behind = text[ends[-1] + 1 :].strip(" $.)\n")
    unit = read_unit(behind) if len(behind) < _LONGEST_UNIT else None
    named = behind if unit is not None and unit.dimension else ""
    return f"{text[boxes[-1] + 1 : ends[-1]]} {named}".strip()


def unboxed(text: str) -> str:
    """The text with its only box opened; of several boxes none is chosen here."""
    boxes = list(_BOX.finditer(text))
    if len(boxes) != 1:
        return text
    end = closing_brace(text, boxes[0].end() - 1)
    if end < 0:
        return text
    return text[: boxes[0].start()] + text[boxes[0].end() : end] + text[end + 1 :]


def closing_brace(text: str, opening: int) -> int:
    """Index of the brace that closes the one at `opening`; -1 when none does."""
    depth = 0
    escaped = False
    for index in range(opening, len(text)):
        character = text[index]
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return index
    return -1
