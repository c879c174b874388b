"""One answer before both readings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from care_verl import verifier
from care_verl.tools.court.opinion import Opinion
from care_verl.tools.court.options import second_opinion

Direction = Literal["possible false positive", "possible false negative"]


@dataclass(frozen=True)
class Case:
    """One answer to be read.

    where: file and line or row. response: None for a gold without one.
    form: `response`, or how a gold was rewritten.
    recorded: the verdict that stands in the file, for the use of `recorded_reading`.
    """

    where: str
    response: str | None
    gold: str
    data_source: str = ""
    choices: tuple[str, ...] | None = None
    form: str = "response"
    recorded: FirstVerdict | None = None


@dataclass(frozen=True)
class FirstVerdict:
    """The verifier's reading. answer: None when the response has no answer to be read."""

    acc: float
    answer: str | None
    rule: str


FirstReading = Callable[[Case], FirstVerdict]


@dataclass(frozen=True)
class BothReadings:
    """A case and its two readings; opinion: None without an answer, where only the form counts."""

    case: Case
    first: FirstVerdict
    opinion: Opinion | None

    @property
    def direction(self) -> Direction | None:
        """Which way the readings differ; None when they agree or the second cannot say."""
        if self.opinion is None or self.opinion.judgement == "cannot_say":
            return None
        if self.first.acc and self.opinion.judgement == "different":
            return "possible false positive"
        if not self.first.acc and self.opinion.judgement == "same":
            return "possible false negative"
        return None


@dataclass(frozen=True)
class TagNames:
    """How a response is marked up; prefilled: it begins inside the rationale."""

    think: str = "think"
    answer: str = "answer"
    prefilled: bool = False


def judge(case: Case, first_reading: FirstReading) -> BothReadings:
    """Both readings of a case."""
    first = first_reading(case)
    if first.answer is None:
        return BothReadings(case, first, None)
    opinion = second_opinion(first.answer, case.gold, case.data_source, case.choices)
    return BothReadings(case, first, opinion)


def verifier_reading(tags: TagNames) -> FirstReading:
    """A first reading by today's verifier."""

    def reading(case: Case) -> FirstVerdict:
        verdict = verifier.verify(
            _response(case),
            case.gold,
            case.data_source,
            list(case.choices) if case.choices else None,
            think_tag=tags.think,
            answer_tag=tags.answer,
            prefilled=tags.prefilled,
        )
        return FirstVerdict(verdict.acc, verdict.answer, verdict.rule)

    return reading


def recorded_reading(tags: TagNames) -> FirstReading:
    """A first reading from the file: its `acc` and, where they stand there, `pred` and `rule`."""

    def reading(case: Case) -> FirstVerdict:
        recorded = case.recorded
        if recorded is None:
            raise ValueError(f"{case.where}: no recorded verdict; read the file with recorded=True")
        if recorded.answer is not None:
            return FirstVerdict(recorded.acc, recorded.answer or None, recorded.rule)
        return FirstVerdict(recorded.acc, _only_answer(_response(case), tags), recorded.rule)

    return reading


def _response(case: Case) -> str:
    if case.response is None:
        raise ValueError(f"{case.where}: a gold alone has no response to be read")
    return case.response


def _only_answer(response: str, tags: TagNames) -> str | None:
    """The answer of a response; None when there is none, or several that are worded otherwise."""
    found = verifier.extract(
        response, think_tag=tags.think, answer_tag=tags.answer, prefilled=tags.prefilled
    )
    answers = {answer.strip() for answer in found.answers}
    if found.unclosed or len(answers) != 1:
        return None
    return answers.pop() or None
