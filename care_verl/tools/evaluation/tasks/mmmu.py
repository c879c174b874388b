"""MMMU val: college problems of 30 subjects, with up to seven images among the text and options.

lmms-lab-encoder/MMMU, which joins the subjects of MMMU/MMMU. Options and answers of open questions
are lists in Python's notation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from care_verl.tools.evaluation.tasks.question import (
    Question,
    interleaved,
    lettered,
    written_options,
)

COLUMNS = (
    *("id", "question", "options", "answer", "question_type"),
    *(f"image_{number}" for number in range(1, 8)),
)


def read(doc: Mapping[str, Any]) -> Question:
    """A row; raises ValueError when its options cannot be read."""
    multiple = doc["question_type"] == "multiple-choice"
    choices = written_options(str(doc["options"])) if multiple else None
    text = str(doc["question"])
    return Question(
        doc_id=str(doc["id"]),
        parts=interleaved(f"{text}\n{lettered(choices)}" if choices else text),
        gold=str(doc["answer"]),
        choices=choices,
        group=subject(str(doc["id"])),
    )


def subject(doc_id: str) -> str:
    """The subject in an id such as `validation_Art_Theory_3`."""
    return "_".join(doc_id.split("_")[1:-1]) or doc_id
