"""The answer inside `\\boxed{…}`."""

from care_verl.verifier.boxes import closing_brace

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
    end = closing_brace(inner, len(_OPENING) - 1)
    return inner[len(_OPENING) : end].strip() if end == len(inner) - 1 else stripped
