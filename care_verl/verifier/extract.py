"""Where the rationale and the answer stand in a response.

The text is read once, from left to right. Every tag is located with `str.find`, so the time grows
linearly with the length of the text whatever it holds: a regular expression such as
`<answer>.*?</answer>` is quadratic on a text that repeats its opening tag.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Tag(Enum):
    """The four tags of a response."""

    THINK_OPEN = "think_open"
    THINK_CLOSE = "think_close"
    ANSWER_OPEN = "answer_open"
    ANSWER_CLOSE = "answer_close"


@dataclass(frozen=True)
class Extraction:
    """What a response says, read by its tags.

    rationale: text of the last closed rationale; None when none was closed.
    answers: text of every closed answer outside the rationale, in order; one that stands before the
        first rationale was closed is none.
    unclosed: the last answer outside the rationale was opened and never closed.
    well_formed: exactly one rationale, then exactly one non-empty answer, and nothing but white
        space around them.
    """

    rationale: str | None
    answers: tuple[str, ...]
    unclosed: bool
    well_formed: bool


@dataclass(frozen=True)
class _Mark:
    """One tag in the text: the half-open range of its characters."""

    start: int
    end: int
    tag: Tag


def extract(
    response: str,
    *,
    think_tag: str = "think",
    answer_tag: str = "answer",
    prefilled: bool = False,
) -> Extraction:
    """Read the rationale and the answers of `response`.

    prefilled: the chat template wrote the rationale's opening tag into the prompt, so the response
    begins inside the rationale. Without it, a closing tag that was never opened still ends a
    rationale: what follows it is where an answer is looked for.
    """
    marks = list(_marks(response, think_tag, answer_tag))
    inside = prefilled
    begin = 0
    opened: int | None = None
    rationale: str | None = None
    answers: list[str] = []
    for mark in marks:
        if mark.tag is Tag.THINK_CLOSE and opened is None and (inside or rationale is None):
            if rationale is None:
                answers.clear()
            rationale = response[begin : mark.start]
            inside = False
        elif inside:
            continue
        elif mark.tag is Tag.THINK_OPEN and opened is None:
            inside, begin = True, mark.end
        elif mark.tag is Tag.ANSWER_OPEN:
            opened = mark.end
        elif mark.tag is Tag.ANSWER_CLOSE and opened is not None:
            answers.append(response[opened : mark.start])
            opened = None
    return Extraction(
        rationale=rationale,
        answers=tuple(answers),
        unclosed=opened is not None,
        well_formed=_well_formed(response, marks, prefilled),
    )


def _marks(response: str, think_tag: str, answer_tag: str) -> Iterator[_Mark]:
    """All tags of the text in the order in which they stand."""
    spellings = {
        Tag.THINK_OPEN: f"<{think_tag}>",
        Tag.THINK_CLOSE: f"</{think_tag}>",
        Tag.ANSWER_OPEN: f"<{answer_tag}>",
        Tag.ANSWER_CLOSE: f"</{answer_tag}>",
    }
    occurrences = (_occurrences(response, spelling, tag) for tag, spelling in spellings.items())
    return heapq.merge(*occurrences, key=lambda mark: mark.start)


def _occurrences(response: str, spelling: str, tag: Tag) -> Iterator[_Mark]:
    start = response.find(spelling)
    while start >= 0:
        end = start + len(spelling)
        yield _Mark(start, end, tag)
        start = response.find(spelling, end)


def _well_formed(response: str, marks: list[_Mark], prefilled: bool) -> bool:
    expected = [Tag.THINK_OPEN, Tag.THINK_CLOSE, Tag.ANSWER_OPEN, Tag.ANSWER_CLOSE]
    if prefilled:
        expected = expected[1:]
    if [mark.tag for mark in marks] != expected:
        return False
    close, begin, end = marks[-3:]
    before = "" if prefilled else response[: marks[0].start]
    outside = before + response[close.end : begin.start] + response[end.end :]
    return not outside.strip() and bool(response[begin.end : end.start].strip())
