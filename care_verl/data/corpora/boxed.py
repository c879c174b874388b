"""The answer inside `\\boxed{…}`."""

_OPENING = "\\boxed{"


def unboxed(answer: str) -> str:
    """What stands in the box when the whole answer is one box with balanced braces, else `answer`.

    `$` around the box goes with it. A backslash makes a brace a sign, which does not count. What is
    left boxed by unbalanced braces is for the check of gold answers to refuse.
    """
    stripped = answer.strip()
    inner = stripped.strip("$").strip()
    if not inner.startswith(_OPENING):
        return stripped
    end = _closing(inner, len(_OPENING))
    return inner[len(_OPENING) : end].strip() if end == len(inner) - 1 else stripped


def _closing(text: str, start: int) -> int | None:
    """Position of the brace that closes the one before `start`; None when there is none."""
    depth, position = 1, start
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return None
