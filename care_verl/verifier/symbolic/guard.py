"""Expressions that are refused before they cost a worker: their evaluation would never end."""

import re

LONGEST = 32_000
_DEEPEST = 64
_LONGEST_NUMBER = 400
_POWER = r"(?:\^|\*\*) ?[({]? ?[+-]? ?"
# Each begins where a run of digits does: from any digit of it, the time would be quadratic.
_COSTLY = [
    re.compile(rf"(?<!\d)\d{{{_LONGEST_NUMBER}}}"),
    re.compile(_POWER + r"\d{4}"),
    re.compile(_POWER + r"\d{1,3} ?[)}]? ?" + _POWER + r"\d"),
    re.compile(r"(?<!\d)\d{4,} ?[)}]? ?!|! ?[)}]? ?!"),
]


def too_costly(text: str) -> str | None:
    """Why `text` is not given to a worker; None when it may be."""
    if len(text) > LONGEST:
        return f"longer than {LONGEST} characters"
    if _depth(text) > _DEEPEST:
        return f"brackets nested deeper than {_DEEPEST}"
    text = " ".join(text.split())
    if any(pattern.search(text) for pattern in _COSTLY):
        return "a power, factorial or number too large to evaluate"
    return None


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest
