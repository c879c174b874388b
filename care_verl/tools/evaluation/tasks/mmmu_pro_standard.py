"""MMMU-Pro standard with ten options: MMMU without what text alone answers (MMMU/MMMU_Pro)."""

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
    *("id", "question", "options", "answer", "subject"),
    *(f"image_{number}" for number in range(1, 8)),
)


def read(doc: Mapping[str, Any]) -> Question:
    """A row; raises ValueError when its options cannot be read."""
    choices = written_options(str(doc["options"]))
    return Question(
        doc_id=str(doc["id"]),
        parts=interleaved(f"{doc['question']}\n{lettered(choices)}"),
        gold=str(doc["answer"]),
        choices=choices,
        group=str(doc["subject"]),
    )
