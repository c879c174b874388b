"""The verifier and LMMs-Eval's own scorer on the same responses: where they agree, and where not.

LMMs-Eval's side runs in its environment as a careful user would run it: in the main thread, with
the rationale. What its defaults lose besides is in `test_in_lmms_eval.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from care_verl.tools.evaluation.answers import Answer
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.data import load
from care_verl.tools.evaluation.scoring import answers_of
from care_verl.tools.evaluation.settings import TaskSettings
from tests.benchmarks.upstream_scores import Scored, page, scored
from tests.evaluation.samples import answers


@dataclass(frozen=True)
class Case:
    """A response to a row; the verdict that is right, which is ours, and LMMs-Eval's own."""

    why: str
    benchmark: str
    row: int
    answer: str
    ours: int
    upstream: int

    @property
    def response(self) -> str:
        written = "<" in self.answer or "\\boxed" in self.answer or " is " in self.answer
        return self.answer if written else f"<think>Hm.</think><answer>{self.answer}</answer>"


AGREED = (
    Case("option's letter", "mathvista", 0, "D", 1, 1),
    Case("decorated letter", "mathverse", 0, "(B)", 1, 1),
    Case("another letter", "mmmu_pro_standard", 1, "B", 0, 0),
    Case("number", "mathvista", 2, "12", 1, 1),
    Case("fraction", "mathvision", 2, "0.5", 1, 1),
    Case("no answer", "mathvision", 1, "I do not know.", 0, 0),
)
WRONG_THERE = (
    Case("a letter inside a word", "mathvista", 0, "Dog", 0, 1),
    Case("a gold word that begins with a letter", "mmmu", 3, "Donkey", 0, 1),
    Case("the text of the right option", "mathvista", 0, "Owl", 1, 0),
    Case("the value of the right option", "mathverse", 0, "60°", 1, 0),
    Case("an option beyond H in parentheses", "mmmu_pro_standard", 0, "(J)", 1, 0),
    Case("a unit of another size", "mathvision", 1, "12 cm", 0, 1),
    Case("the same length in another unit", "mathvision", 1, "1200 cm", 1, 0),
    Case("one of several golds", "mmmu", 2, "1/2", 1, 0),
    Case("an expression whose gold has no dollar signs", "mathverse", 2, "$\\sqrt{20}$", 1, 0),
    Case("decimal places as asked for", "mathvista", 1, "1.52", 1, 0),
    Case(
        *("an answer inside the rationale", "mathvista", 2),
        *("<think>Is it <answer>11</answer>? No.</think><answer>12</answer>", 1, 0),
    ),
)
STRICTER = (
    Case("no tags at all", "mathvista", 2, "The answer is 12", 0, 1),
    Case("a box without tags", "mathvision", 2, "\\boxed{0.5}", 0, 1),
    Case(
        *("two answers that differ", "mathvista", 2),
        *("<think>Hm.</think><answer>12</answer><answer>13</answer>", 0, 1),
    ),
    Case(
        *("an answer in the rationale alone", "mathvista", 2),
        *("<think>So <answer>12</answer>.</think>", 0, 1),
    ),
)
CASES = (*AGREED, *WRONG_THERE, *STRICTER)


def answered(case: Case) -> Answer:
    benchmark = BENCHMARKS[case.benchmark]
    question = benchmark.read(load(benchmark)[case.row])
    return answers_of(benchmark, case.row, question, [case.response], TaskSettings())[0]


@pytest.fixture(scope="module")
def compared(benchmark_files: object, lmms_python: object) -> dict[str, Scored]:
    """The embedded task has no counterpart and is left out."""
    embedded = answered(Case("embedded", "embedded", 0, "1", 0, 0))
    found = scored([embedded, *map(answered, CASES)])
    return {case.why: row for case, row in zip(CASES, found, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_both_verdicts(case: Case, compared: dict[str, Scored]) -> None:
    row = compared[case.why]
    assert (row.answer.acc, row.theirs) == (case.ours, case.upstream)
    assert row.disagrees == (case not in AGREED)


@pytest.mark.slow
def test_disagreements_are_listed(compared: dict[str, Scored]) -> None:
    listed = [row for row in compared.values() if row.disagrees]
    assert len(listed) == len(WRONG_THERE) + len(STRICTER)


@pytest.mark.slow
def test_answers_to_other_data_are_refused(compared: dict[str, Scored]) -> None:
    other = replace(compared["number"].answer, doc_id="77")
    with pytest.raises(RuntimeError, match="row 2 is 3; expected 77, which was answered"):
        scored([other])


def test_disagreements_are_listed_answer_by_answer() -> None:
    """Verdicts 1, 1, 0 against 1, 0, 0: accuracies 2/3 and 1/3."""
    given = answers([1.0, 1.0, 0.0], "mmmu")
    rows = [Scored(answer, theirs) for answer, theirs in zip(given, [1.0, 0.0, 0.0], strict=True)]
    lines = list(page(rows))
    assert "| mmmu | 3 | 66.7 | 33.3 | 1 |" in lines
    assert "1 of 3 answers." in lines
    assert lines[-1] == "| mmmu | q1 | 8 | 8 | number | 1 | 0 |"
