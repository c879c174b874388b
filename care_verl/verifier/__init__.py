"""Scores of a response: is its answer right (`acc`), and is it well formed (`fmt`)?

`acc` is read from the answer span alone: the last `<answer>…</answer>` that stands after the
rationale was closed. An answer that was never closed, one that stands only inside the rationale,
or two answers that differ give `acc` 0. Any string is a valid response; none of them raises.
"""

from dataclasses import dataclass

from care_verl.verifier.extract import Extraction, extract
from care_verl.verifier.grading import rule_for, same

__all__ = ["Extraction", "Verdict", "extract", "verify"]


@dataclass(frozen=True)
class Verdict:
    """The scores of one response, and what they rest on.

    acc: 1.0 when the answer equals the gold answer, else 0.0.
    fmt: 1.0 for exactly one rationale, then one non-empty answer, and white space around them.
    answer: the answer that was read, stripped; None when there was none to read.
    gold: the gold answer as it was compared.
    rule: the rule that compared them, `number` or `text`.
    """

    acc: float
    fmt: float
    answer: str | None
    gold: str
    rule: str


def verify(
    response: str,
    ground_truth: object,
    data_source: str = "",
    choices: list[str] | None = None,
    *,
    think_tag: str = "think",
    answer_tag: str = "answer",
    prefilled: bool = False,
) -> Verdict:
    """Score `response` against `ground_truth`.

    data_source and choices say which rules of comparison apply to the row; the rules that exist
    so far, exact numbers and text, hold for every source.
    """
    gold = str(ground_truth).strip()
    found = extract(response, think_tag=think_tag, answer_tag=answer_tag, prefilled=prefilled)
    answer = _the_answer(found)
    return Verdict(
        acc=float(answer is not None and same(answer, gold)),
        fmt=float(found.well_formed),
        answer=answer,
        gold=gold,
        rule=rule_for(gold),
    )


def _the_answer(found: Extraction) -> str | None:
    """The one answer of a response; None when empty, missing, or one of several that differ."""
    if found.unclosed or not found.answers:
        return None
    last = found.answers[-1].strip()
    if any(not same(answer, last) for answer in set(found.answers[:-1])):
        return None
    return last or None
