"""Scores of a response: is its answer right (`acc`), and is it well formed (`fmt`)?

`acc` is read from the answer span alone: the last `<answer>…</answer>` that stands after the
rationale was closed. An answer that was never closed, one that stands only inside the rationale,
or two answers that differ give `acc` 0. Any string is a valid response; none of them raises.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from care_verl.verifier.extract import Extraction, extract
from care_verl.verifier.gold import gold_answers, gold_problem
from care_verl.verifier.rules import UNDECIDED, UNREADABLE_GOLD, Decision, decide
from care_verl.verifier.symbolic import one_verdict

__all__ = [
    "UNDECIDED",
    "UNREADABLE_GOLD",
    "Extraction",
    "Verdict",
    "extract",
    "gold_problem",
    "verify",
]

# A response that answers again in yet another spelling has no one answer.
_MOST_SPELLINGS = 8


@dataclass(frozen=True)
class Verdict:
    """The scores of one response, and what they rest on.

    acc: 1.0 when the answer equals the gold answer, else 0.0.
    fmt: 1.0 for exactly one rationale, then one non-empty answer, and white space around them.
    answer: the answer as it was written, stripped; None when there was none to read.
    gold: the gold answer as it was given.
    answer_read, gold_read: how the rule understood both; empty where it could not.
    rule: the rule that compared them (see `care_verl.verifier.rules`); `none` without an answer.
    """

    acc: float
    fmt: float
    answer: str | None
    gold: str
    rule: str
    answer_read: str = ""
    gold_read: str = ""


def verify(
    response: str,
    ground_truth: object,
    data_source: str = "",
    choices: Sequence[str] | None = None,
    *,
    think_tag: str = "think",
    answer_tag: str = "answer",
    prefilled: bool = False,
) -> Verdict:
    """Score `response` against `ground_truth`.

    ground_truth: the gold answer, or a list of answers of which any will do.
    data_source: name of the row's data set; one with `chartqa` in it has ChartQA's relaxed rule.
    choices: the row's options, where they are known.
    prefilled: the prompt has opened the rationale already.

    May be called from any thread of any process. Raises nothing for any response; WorkerFailedError
    when the processes that compare expressions cannot be started.
    """
    found = extract(response, think_tag=think_tag, answer_tag=answer_tag, prefilled=prefilled)
    answers = gold_answers(ground_truth)
    decision = Decision(False, "none")
    with one_verdict():
        answer = _the_answer(found, data_source, choices)
        if answer is not None:
            decision = _best(answer, answers, data_source, choices)
    return Verdict(
        acc=float(decision.same),
        fmt=float(found.well_formed),
        answer=answer,
        gold=" | ".join(answers),
        rule=decision.rule,
        answer_read=decision.answer_read,
        gold_read=decision.gold_read,
    )


def _best(
    answer: str, golds: list[str], data_source: str, choices: Sequence[str] | None
) -> Decision:
    """The first decision that says the answer is right, or else the last one."""
    decision = Decision(False, "none")
    for gold in golds:
        if gold:
            decision = decide(answer, gold, data_source, choices)
        if decision.same:
            break
    return decision


def _the_answer(found: Extraction, data_source: str, choices: Sequence[str] | None) -> str | None:
    """The one answer of a response; None when empty, missing, or one of several that differ."""
    if found.unclosed or not found.answers:
        return None
    last = found.answers[-1].strip()
    others = set(found.answers[:-1])
    if not last or len(others) > _MOST_SPELLINGS:
        return None
    for other in others:
        if not other.strip() or not decide(other.strip(), last, data_source, choices).same:
            return None
    return last
