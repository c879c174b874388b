"""MathVerse testmini: 788 problems, each in five versions that say more or less in words.

CaraJ/MathVerse-lmmseval. The prompt is the data set's own `query_cot`, which asks for reasoning
first; in the version `Vision Only` the question stands in the image alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from care_verl.data.corpora.choices import choices_in
from care_verl.tools.evaluation.tasks.question import Picture, Question

COLUMNS = (
    *("sample_index", "problem_version", "image", "answer", "question_type", "query_cot"),
    "question_for_eval",
)


def read(doc: Mapping[str, Any]) -> Question:
    """A row. Its options are read from the question that the data set keeps for judges."""
    gold = str(doc["answer"])
    multiple = doc["question_type"] == "multi-choice"
    return Question(
        doc_id=str(doc["sample_index"]),
        parts=(Picture("image"), str(doc["query_cot"])),
        gold=gold,
        choices=choices_in(str(doc["question_for_eval"]), gold) if multiple else None,
        group=str(doc["problem_version"]),
    )
