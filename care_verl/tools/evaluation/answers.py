"""The answers of a run, read from the per-sample file that LMMs-Eval writes with `--log_samples`.

Our tasks add one entry to each line, `care`: everything an `Answer` holds, so that nothing has to
be read out of LMMs-Eval's own fields, which flatten lists and strip rationales.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from care_verl.common.errors import CareVerlError
from care_verl.common.jsonl import Malformed, json_objects

ENTRY = "care"
"""Name of our entry in a line: a list of answers, one for each response, without their row."""


class AnswersError(CareVerlError):
    """A per-sample file that is not one of our tasks', or was cut."""


@dataclass(frozen=True)
class Answer:
    """One response to one row of a benchmark, and its verdict.

    benchmark: name of the benchmark.
    row: the row's place in the split, from 0; what LMMs-Eval calls doc_id.
    doc_id: the row's own name in the data set.
    sample: which response to this row, from 0; 0 for a single decode.
    group: the category that the row counts in for the breakdown.
    gold: the gold answer, alternatives joined by ` | `.
    response: the text as generated, rationale included.
    answer: what stood in the answer span; empty where there was no one answer.
    read: how the rule understood it; empty where it did not.
    rule: the verifier's rule that compared them.
    acc, fmt: 1.0 or 0.0 each.
    """

    benchmark: str
    row: int
    doc_id: str
    sample: int
    group: str
    gold: str
    response: str
    answer: str
    read: str
    rule: str
    acc: float
    fmt: float

    @property
    def key(self) -> tuple[str, str, int]:
        """What the answers of two runs are paired by."""
        return self.benchmark, self.doc_id, self.sample


_NAMES = {field.name for field in fields(Answer)}
# Answers that an earlier release wrote are taken as they are, but for this.
_FORMER = {"upstream"}


def read_answers(path: Path) -> list[Answer]:
    """All answers of a per-sample file, in the order of rows and samples.

    Raises AnswersError when a line is not JSON, or does not come from a task of ours.
    """
    answers = [answer for where, line in _lines(path) for answer in _answers(where, line)]
    return sorted(answers, key=lambda answer: (answer.row, answer.sample))


def entries(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Our entry in the line of one row, from the answers to it; LMMs-Eval writes the row itself."""
    return [{k: v for k, v in asdict(answer).items() if k != "row"} for answer in answers]


def write_answers(answers: Sequence[Answer], path: Path) -> None:
    """One answer a line, as JSON; `load_answers` reads it."""
    lines = (json.dumps(asdict(answer), ensure_ascii=False) for answer in answers)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def load_answers(path: Path) -> list[Answer]:
    """What `write_answers` wrote. Raises AnswersError for anything else."""
    return [_answer(where, line) for where, line in _lines(path)]


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in json_objects(path):
        if isinstance(line, Malformed):
            raise AnswersError(f"{line.where}: {line.reason}")
        yield line


def _answers(where: str, line: dict[str, Any]) -> Iterator[Answer]:
    found = line.get(ENTRY)
    if not isinstance(found, list) or not found or not isinstance(line.get("doc_id"), int):
        raise AnswersError(
            f"{where}: no entry {ENTRY!r}; expected a per-sample file of a task "
            "whose name begins with care_"
        )
    for entry in found:
        row = {"row": line["doc_id"]} if isinstance(entry, dict) else {}
        yield _answer(where, {**entry, **row})


def _answer(where: str, entry: Any) -> Answer:
    if not isinstance(entry, dict) or set(entry) - _FORMER != _NAMES:
        found = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise AnswersError(f"{where}: {found}; expected {sorted(_NAMES)}")
    return Answer(**{name: entry[name] for name in _NAMES})
