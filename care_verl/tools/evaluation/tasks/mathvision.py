"""MATH-Vision test: competition problems of 16 subjects; options and free answers.

MathLLMs/MathVision. A row has one image, which holds all pictures that its question names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from care_verl.tools.evaluation.tasks.question import Picture, Question, lettered

COLUMNS = ("id", "question", "options", "decoded_image", "answer", "subject")
_PLACE = "<image1>"


def read(doc: Mapping[str, Any]) -> Question:
    """A row; the image stands where the question names it first, or in front."""
    choices = tuple(doc["options"]) or None
    text = str(doc["question"]).strip()
    if choices:
        text = f"{text}\n{lettered(choices)}"
    before, _, after = text.partition(_PLACE) if _PLACE in text else ("", "", text)
    image = Picture("decoded_image")
    return Question(
        doc_id=str(doc["id"]),
        parts=tuple(part for part in (before, image, after) if part),
        gold=str(doc["answer"]),
        choices=choices,
        group=str(doc["subject"]),
    )
