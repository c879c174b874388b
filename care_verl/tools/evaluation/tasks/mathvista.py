"""MathVista testmini: figures, diagrams and plots; options and free answers (AI4Math/MathVista).

The prompt is the data set's own `query`, whose hint says how many decimal places are wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from care_verl.tools.evaluation.tasks.question import LETTERS, Picture, Question

COLUMNS = (
    *("pid", "query", "decoded_image", "choices", "answer", "question_type", "answer_type"),
    *("precision", "metadata"),
)


def read(doc: Mapping[str, Any]) -> Question:
    """A row; raises ValueError when its gold answer is none of its options."""
    choices = tuple(doc["choices"]) if doc["question_type"] == "multi_choice" else None
    precision = doc["precision"] if doc["answer_type"] == "float" else None
    return Question(
        doc_id=str(doc["pid"]),
        parts=(Picture("decoded_image"), str(doc["query"])),
        gold=_gold(doc, choices),
        choices=choices,
        group=str(doc["metadata"]["task"]),
        decimals=None if precision is None else int(precision),
    )


def _gold(doc: Mapping[str, Any], choices: tuple[str, ...] | None) -> str:
    answer = str(doc["answer"])
    if choices is None:
        return answer
    if answer not in choices:
        raise ValueError(f"row {doc['pid']}: answer {answer!r} is none of {list(choices)}")
    return LETTERS[choices.index(answer)]
