"""Where the rationale and the answer stand in a response, in bytes: the one grammar of tags.

The verifier judges an answer and the loss pays its tokens. Read by two parsers, the two can be
different answers, and a right one can be paid to the tokens of a wrong one. Everything that asks
for a rationale or an answer therefore stands on `regions`: the verifier, token spans, the harvest,
region weights, both methods, records and replay.

Only the standard library is imported, so that the processes of a verifier stay small.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

Range = tuple[int, int]
"""A half-open range of bytes."""

TAG_NAME = "a tag name of ASCII letters, digits, '_' and '-'"


def is_tag_name(name: str) -> bool:
    """Whether `name` can stand in a tag without holding `<`, `>` or `/`."""
    return name.isascii() and bool(name) and name.replace("_", "a").replace("-", "a").isalnum()


@dataclass(frozen=True)
class TagSpec:
    """Names of the two tags. Raises ValueError where a name is no tag name, or both are equal."""

    think: str = "think"
    answer: str = "answer"

    def __post_init__(self) -> None:
        for name in (self.think, self.answer):
            if not is_tag_name(name):
                raise ValueError(f"tag {name!r} is not allowed; expected {TAG_NAME}")
        if self.think == self.answer:
            raise ValueError(f"both tags are {self.think!r}; expected two different names")

    @property
    def think_open(self) -> bytes:
        return b"<" + self.think.encode() + b">"

    @property
    def think_close(self) -> bytes:
        return b"</" + self.think.encode() + b">"

    @property
    def answer_open(self) -> bytes:
        return b"<" + self.answer.encode() + b">"

    @property
    def answer_close(self) -> bytes:
        return b"</" + self.answer.encode() + b">"


class Tag(Enum):
    """The four tags of a response."""

    THINK_OPEN = "think_open"
    THINK_CLOSE = "think_close"
    ANSWER_OPEN = "answer_open"
    ANSWER_CLOSE = "answer_close"


@dataclass(frozen=True)
class Mark:
    """One tag in the text and the bytes it takes."""

    start: int
    end: int
    tag: Tag

    @property
    def range(self) -> Range:
        return self.start, self.end


@dataclass(frozen=True)
class Region:
    """What stands between two tags.

    content: its bytes, without the tags; to the end of the text where it was never closed.
    opened: the opening tag; None where the prompt holds it.
    closed: the closing tag; None where there is none.
    """

    content: Range
    opened: Mark | None
    closed: Mark | None


@dataclass(frozen=True)
class Regions:
    """A response, read once from left to right in time linear in its bytes.

    rationale: the first one; None without any.
    answers: all answers that count, in order; only the last may be unclosed.
    marks: every tag of the text, in order.
    """

    rationale: Region | None
    answers: tuple[Region, ...]
    marks: tuple[Mark, ...]

    @property
    def answer(self) -> Region | None:
        """The answer that is judged and paid: the last one."""
        return self.answers[-1] if self.answers else None


def regions(text: bytes, tags: TagSpec, prefilled: bool = False) -> Regions:
    """Finds rationale and answers (Section 3.1).

    Settled here, where the paper is silent:

    - The rationale runs from the first opening tag (from the start of the response when
      `prefilled`) to the first closing tag behind it, or to the end of the text.
    - An answer counts where it stands outside every rationale, and behind the first one if there
      is one. So inside a rationale that never closes, and before it, there is no answer.
    - A rationale that is opened again behind the first one hides the answers inside it, no more.
    - A closing tag of a rationale that was never opened ends no rationale; what was answered
      before it does not count.
    - Tags inside an answer are its text, but for another opening tag, which begins it anew; before
      the rationale has ended, the rationale's tags come first.

    Args:
        text: the response.
        tags: names of the tags.
        prefilled: the prompt already holds the opening tag of the rationale.
    """
    marks = tuple(_marks(text, tags))
    reader = _Reader(len(text), inside=prefilled)
    for mark in marks:
        reader.read(mark)
    return Regions(reader.rationale_at_end(), reader.answers_at_end(), marks)


class _Reader:
    """What is known of a response so far."""

    def __init__(self, length: int, inside: bool) -> None:
        self._length = length
        self._inside = inside
        self._think_open: Mark | None = None
        self._rationale: Region | None = None
        self._answer_open: Mark | None = None
        self._answers: list[Region] = []

    def read(self, mark: Mark) -> None:
        if self._rationale is None and mark.tag in (Tag.THINK_OPEN, Tag.THINK_CLOSE):
            self._read_first_rationale(mark)
        elif mark.tag is Tag.THINK_OPEN:
            self._inside = self._inside or self._answer_open is None
        elif mark.tag is Tag.THINK_CLOSE:
            self._inside = False
        elif not self._inside:
            self._read_answer(mark)

    def rationale_at_end(self) -> Region | None:
        if self._rationale is None and self._inside:
            return self._between(self._think_open, None)
        return self._rationale

    def answers_at_end(self) -> tuple[Region, ...]:
        if self._answer_open is not None:
            return (*self._answers, self._between(self._answer_open, None))
        return tuple(self._answers)

    def _read_first_rationale(self, mark: Mark) -> None:
        if not self._inside:
            self._answers.clear()
            self._answer_open = None
        if mark.tag is Tag.THINK_CLOSE and self._inside:
            self._rationale = self._between(self._think_open, mark)
            self._inside = False
        elif mark.tag is Tag.THINK_OPEN and not self._inside:
            self._think_open = mark
            self._inside = True

    def _read_answer(self, mark: Mark) -> None:
        if mark.tag is Tag.ANSWER_OPEN:
            self._answer_open = mark
        elif self._answer_open is not None:
            self._answers.append(self._between(self._answer_open, mark))
            self._answer_open = None

    def _between(self, opened: Mark | None, closed: Mark | None) -> Region:
        begin = opened.end if opened else 0
        return Region((begin, closed.start if closed else self._length), opened, closed)


def _marks(text: bytes, tags: TagSpec) -> Iterator[Mark]:
    """All tags of the text in the order in which they stand."""
    spellings = {tag: getattr(tags, tag.value) for tag in Tag}
    # `find` is linear; a pattern such as `<answer>.*?</answer>` is quadratic on a text that repeats
    # its opening tag.
    occurrences = (_occurrences(text, spelling, tag) for tag, spelling in spellings.items())
    return heapq.merge(*occurrences, key=lambda mark: mark.start)


def _occurrences(text: bytes, spelling: bytes, tag: Tag) -> Iterator[Mark]:
    start = text.find(spelling)
    while start >= 0:
        end = start + len(spelling)
        yield Mark(start, end, tag)
        start = text.find(spelling, end)
