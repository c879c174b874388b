"""MMMU-Pro vision: question and options stand in the image, and nowhere else (MMMU/MMMU_Pro)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from care_verl.tools.evaluation.tasks.question import Picture, Question, written_options

COLUMNS = ("id", "image", "options", "answer", "subject")
_REQUEST = "Answer the multiple-choice question in the image."


def read(doc: Mapping[str, Any]) -> Question:
    """A row. Its options are for the verifier alone; the prompt does not repeat them."""
    return Question(
        doc_id=str(doc["id"]),
        parts=(Picture("image"), _REQUEST),
        gold=str(doc["answer"]),
        choices=written_options(str(doc["options"])),
        group=str(doc["subject"]),
    )
