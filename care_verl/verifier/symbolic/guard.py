"""Expressions that are refused before they cost a worker: their evaluation would never end."""

import re

LONGEST = 32_000
_DEEPEST = 64
_LONGEST_NUMBER = 400
_POWER = r"(?:\^|\*\*)\s*[({]?\s*[+-]?\s*"
_COSTLY = [
    re.compile(_POWER + r"\d{4,}"),
    re.compile(_POWER + r"\d+\s*[)}]?\s*" + _POWER + r"\d"),
    re.compile(r"\d{4,}\s*[)}]?\s*!|!\s*[)}]?\s*!"),
    re.compile(rf"\d{{{_LONGEST_NUMBER},}}"),
]


def too_costly(text: str) -> str | None:
    """Why `text` is not given to a worker; None when it may be."""
    if len(text) > LONGEST:
        return f"longer than {LONGEST} characters"
    if _depth(text) > _DEEPEST:
        return f"brackets nested deeper than {_DEEPEST}"
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
