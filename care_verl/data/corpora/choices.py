"""Options that stand in the text of a question, read only where nothing else can be meant.

A wrong reading would score answers against options that do not exist, so text that merely looks
like a list is left alone: the letters run A, B, C, … without a gap or a repetition, every option
has a text, and the gold answer is one of the letters or one of the texts.
"""

import re
from collections.abc import Sequence

# In a line of its own: `(A) x`, `A. x`, `A) x`, `A: x`.
_LINE = re.compile(r"^[ \t]*(?:\(([A-J])\)|([A-J])[.):、])[ \t]*", re.MULTILINE)
# Within a line, behind a heading such as `Choices:`.
_HEADING = re.compile(r"\b(?:choices|options)\s*:", re.IGNORECASE)
_HEADED = re.compile(r"(?<!\w)(?:\(([A-J])\)|([A-J])[.):])(?=\s)[ \t]*")
# Within a line without a heading: in parentheses alone, and after the end of a sentence.
_INLINE = re.compile(r"(?<!\w)\(([A-J])\)(?=\s)[ \t]*()")
_SENTENCE_ENDS = ("?", ".", ":", ";", "!")
# Two letters in parentheses may be the names of two parts of a figure.
_FEWEST_INLINE = 3
_ANSWER = re.compile(r"\(?([A-J])\)?\.?")


def choices_in(question: str, answer: str) -> tuple[str, ...] | None:
    """The texts of the options A, B, … of `question`; None when it has none for certain.

    answer: the gold answer, a letter or an option's text.
    """
    for found in (_in_lines(question), _behind_heading(question), _inline(question)):
        if found is not None and _names_one(answer, found):
            return found
    return None


def _in_lines(question: str) -> tuple[str, ...] | None:
    return _texts(question, list(_LINE.finditer(question)))


def _behind_heading(question: str) -> tuple[str, ...] | None:
    headings = list(_HEADING.finditer(question))
    if len(headings) != 1:
        return None
    tail = question[headings[0].end() :]
    return _texts(tail, list(_HEADED.finditer(tail)))


def _inline(question: str) -> tuple[str, ...] | None:
    found = list(_INLINE.finditer(question))
    if len(found) < _FEWEST_INLINE:
        return None
    if not question[: found[0].start()].rstrip().endswith(_SENTENCE_ENDS):
        return None
    return _texts(question, found)


def _texts(text: str, markers: Sequence[re.Match[str]]) -> tuple[str, ...] | None:
    """What stands behind each marker, when they are A, B, … and the last ends with its line."""
    letters = [marker[1] or marker[2] for marker in markers]
    if len(letters) < 2 or letters != [chr(ord("A") + n) for n in range(len(letters))]:
        return None
    if len({marker[1] is None for marker in markers}) > 1:
        return None
    ends = [marker.start() for marker in markers[1:]]
    last = text[markers[-1].end() :].strip()
    if "\n" in last:
        return None
    texts = [text[m.end() : e].strip() for m, e in zip(markers, ends, strict=False)] + [last]
    return tuple(texts) if all(texts) else None


def _names_one(answer: str, choices: Sequence[str]) -> bool:
    letter = _ANSWER.fullmatch(answer.strip())
    if letter:
        return ord(letter[1]) - ord("A") < len(choices)
    return answer.strip() in choices
