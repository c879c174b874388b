"""The verdict on a response to a benchmark's row: the verifier's, on the answer span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from care_verl.common.errors import CareVerlError
from care_verl.tools.evaluation.answers import Answer
from care_verl.tools.evaluation.benchmarks import Benchmark
from care_verl.tools.evaluation.settings import TaskSettings
from care_verl.tools.evaluation.tasks.question import Question
from care_verl.verifier import Verdict, verify
from care_verl.verifier.cleaning import cleaned
from care_verl.verifier.quantities import read_quantity
from care_verl.verifier.rules import by_value

# LMMs-Eval puts these where a response should be when a request failed or was not made.
_FAILED = ("[LMMS_EVAL_REQUEST_FAILED", "[LMMS_EVAL_BUDGET_EXCEEDED")
_ROUNDED = "rounded"


class ScoringError(CareVerlError):
    """What should be scored is no response of the model."""


def answers_of(
    benchmark: Benchmark,
    row: int,
    question: Question,
    responses: Sequence[str | None],
    settings: TaskSettings,
) -> list[Answer]:
    """The answers to one row, one for each response.

    Raises ScoringError for a response that stands for a failed request or is none, and
    WorkerFailedError when expressions cannot be compared: these are no wrong answers.
    """
    answers = []
    for sample, found in enumerate(responses):
        response = _text(found, f"{benchmark.name}, {question.doc_id}")
        verdict = _verdict(benchmark, question, response, settings)
        answers.append(
            Answer(
                benchmark=benchmark.name,
                row=row,
                doc_id=question.doc_id,
                sample=sample,
                group=question.group,
                gold=verdict.gold,
                response=response,
                answer=verdict.answer or "",
                read=verdict.answer_read,
                rule=verdict.rule,
                acc=verdict.acc,
                fmt=verdict.fmt,
            )
        )
    return answers


def _text(found: str | None, where: str) -> str:
    if found is None:
        reason = "the server sent no text: start it without a reasoning parser"
    elif found.startswith(_FAILED):
        reason = "the model's server failed, or the budget was spent"
    else:
        return found
    raise ScoringError(f"{where}: {found!r} stands where a response should; {reason}")


def _verdict(
    benchmark: Benchmark, question: Question, response: str, settings: TaskSettings
) -> Verdict:
    verdict = verify(
        response,
        question.gold,
        data_source=benchmark.name,
        choices=question.choices,
        think_tag=settings.think_tag,
        answer_tag=settings.answer_tag,
        prefilled=settings.prefilled,
    )
    return _with_rounding(verdict, question.decimals)


def _with_rounding(verdict: Verdict, decimals: int | None) -> Verdict:
    """MathVista's own rule for decimal fractions: the answer is rounded as the question asks."""
    if verdict.acc or verdict.answer is None or decimals is None:
        return verdict
    quantity = read_quantity(cleaned(verdict.answer))
    if quantity is None:
        return verdict
    rounded = f"{float(round(Fraction(quantity.value), decimals)):.{decimals}f}"
    if not by_value(rounded, verdict.gold).same:
        return verdict
    return replace(verdict, acc=1.0, rule=_ROUNDED, answer_read=rounded)
