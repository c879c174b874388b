"""A row of any benchmark in one form."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

LETTERS = ascii_uppercase
_NUMBERED = re.compile(r"<image (\d+)>")


@dataclass(frozen=True)
class Picture:
    """A place in the prompt for an image: the column that holds it, and where in a list of them."""

    column: str
    index: int | None = None


@dataclass(frozen=True)
class Question:
    """What is asked, and what counts as right.

    doc_id: the row's own name.
    parts: texts and pictures of the prompt in their order, without the instruction.
    gold: the right answer, an option's letter where there are any; MMMU writes several as a list.
    choices: the options' texts, in order; None where there are none.
    group: category for the breakdown.
    decimals: decimal places that the question asks for; None where it does not.
    """

    doc_id: str
    parts: tuple[str | Picture, ...]
    gold: str
    choices: tuple[str, ...] | None
    group: str
    decimals: int | None = None

    @property
    def text(self) -> str:
        """The prompt with `<image>` for each picture."""
        return "".join(part if isinstance(part, str) else "<image>" for part in self.parts)


def lettered(choices: Sequence[str]) -> str:
    """The options, one a line: `A. 12 cm`."""
    return "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, choices, strict=False))


def written_options(written: str) -> tuple[str, ...]:
    """The options that MMMU writes out as a Python list. Raises ValueError for anything else."""
    try:
        options = ast.literal_eval(written)
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"options {written!r}; expected a list in Python's notation") from error
    if not isinstance(options, list):
        raise ValueError(f"options {written!r}; expected a list in Python's notation")
    return tuple(str(option) for option in options)


def interleaved(text: str) -> tuple[str | Picture, ...]:
    """The text with a picture wherever it names one: `<image 2>` is column `image_2`.

    Each mention is a picture, in the order of mention, so that no text between two is lost.
    """
    pieces = _NUMBERED.split(text)
    pictures = [Picture(f"image_{number}") for number in pieces[1::2]]
    parts: list[str | Picture] = []
    for index, piece in enumerate(pieces[::2]):
        if index:
            parts.append(pictures[index - 1])
        if piece:
            parts.append(piece)
    return tuple(parts)
