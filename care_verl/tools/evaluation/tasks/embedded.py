"""The embedded task's held-out charts, in the rows that training reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from care_verl.data.columns import IMAGE_PLACEHOLDER
from care_verl.tools.evaluation.tasks.question import Picture, Question

COLUMNS = ("prompt", "images", "reward_model", "extra_info")


def read(doc: Mapping[str, Any]) -> Question:
    """A row; raises ValueError when its prompt names another number of images than it has."""
    pieces = doc["prompt"][0]["content"].split(IMAGE_PLACEHOLDER)
    if len(pieces) - 1 != len(doc["images"]):
        raise ValueError(f"{len(doc['images'])} images; expected {len(pieces) - 1}, as the prompt")
    parts: list[str | Picture] = [pieces[0]]
    for index, piece in enumerate(pieces[1:]):
        parts += [Picture("images", index), piece]
    extra = doc["extra_info"]
    return Question(
        doc_id=f"{extra['split']}-{extra['seed']}-{extra['index']}",
        parts=tuple(part for part in parts if part),
        gold=str(doc["reward_model"]["ground_truth"]),
        choices=None,
        group=str(extra["level"]),
    )
