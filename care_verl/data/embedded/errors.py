"""Which step of a response went wrong: the reading of the bars, or the computing from them."""

from collections.abc import Mapping
from typing import Any, Literal

from care_verl.data.embedded.questions import LEVELS
from care_verl.verifier import extract, verify

ErrorKind = Literal["reading", "arithmetic", "format"]


def classify_error(response: str, extra_info: Mapping[str, Any]) -> ErrorKind | None:
    """The step at which `response` failed; None when its answer is right.

    format: there is no single answer to be read. reading: the rationale gives some bar that was
    asked about another height than it has, or none; where it gives several, the last one counts.
    arithmetic: every bar was read right, and the answer is wrong all the same.
    extra_info: that of the row: `level`, and the true `readings` as {colour, height} in the order
    of the question.
    """
    asked = {reading["colour"]: reading["height"] for reading in extra_info["readings"]}
    verdict = verify(response, LEVELS[extra_info["level"]].compute(*asked.values()))
    if verdict.acc:
        return None
    if verdict.answer is None:
        return "format"
    rationale = extract(response).rationale or ""
    read = {colour: _last_reading(rationale, colour) for colour in asked}
    return "arithmetic" if read == asked else "reading"


def _last_reading(rationale: str, colour: str) -> int | None:
    """The number that follows the last mention of `colour` which a number follows."""
    for tail in reversed(rationale.split(colour)[1:]):
        tail = tail.lstrip(" =:")
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        if digits:
            return int(digits)
    return None
