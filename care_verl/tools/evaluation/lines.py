"""The answers of an evaluation as lines of a table: a label, and the models that are its seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from care_verl.common.errors import CareVerlError
from care_verl.tools.evaluation.answers import Answer
from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.checkpoint import Model
from care_verl.tools.evaluation.statistics import (
    Difference,
    Interval,
    mean_of,
    over_benchmarks,
    paired,
    share,
)
from care_verl.tools.lines import SeedLine

Answers = dict[str, list[Answer]]
"""By benchmark, in the order asked for."""


Score = Callable[[Answer], float]


class OtherQuestionsError(CareVerlError):
    """Two models were not asked the same questions."""


@dataclass(frozen=True)
class Seed:
    """One model and its answers."""

    model: Model
    answers: Answers


@dataclass(frozen=True)
class Line(SeedLine[Seed]):
    """One line of the table. All its seeds have the same benchmarks."""

    @property
    def benchmarks(self) -> list[str]:
        """Names, in the order asked for."""
        return list(self.seeds[0].answers)

    @property
    def averaged(self) -> list[str]:
        """The benchmarks that the macro average is over: the paper's; none where it is one."""
        names = [name for name in self.benchmarks if BENCHMARKS[name].paper is not None]
        return names if len(names) > 1 else []

    def accuracy(self, benchmark: str) -> Interval:
        """Share of right answers: over questions for one seed, else over seeds."""
        return self._over_seeds(benchmark, _acc)

    def well_formed(self, benchmark: str) -> Interval:
        """Share of answers in the format asked for."""
        return self._over_seeds(benchmark, lambda answer: answer.fmt)

    def macro(self) -> Interval | None:
        """The unweighted mean over the paper's benchmarks; None where there are not several."""
        if not self.averaged:
            return None
        if len(self.seeds) == 1:
            return over_benchmarks([self.accuracy(name) for name in self.averaged])
        own = ([_mean(seed.answers[name]) for name in self.averaged] for seed in self.seeds)
        return mean_of([float(np.mean(means)) for means in own])

    def groups(self, benchmark: str) -> dict[str, Interval]:
        """Accuracy by category, over questions."""
        found: dict[str, list[Answer]] = {}
        for answer in self._answers(benchmark):
            found.setdefault(answer.group, []).append(answer)
        return {group: _over_questions(found[group], _acc) for group in sorted(found)}

    def by_question(self, benchmark: str) -> dict[str, float]:
        """Accuracy of each question, over seeds and samples, by the question's own name."""
        return _by_question(self._answers(benchmark), _acc)

    def _answers(self, benchmark: str) -> list[Answer]:
        return [answer for seed in self.seeds for answer in seed.answers[benchmark]]

    def _over_seeds(self, benchmark: str, score: Score) -> Interval:
        if len(self.seeds) == 1:
            return _over_questions(self._answers(benchmark), score)
        return mean_of([_mean(seed.answers[benchmark], score) for seed in self.seeds])


@dataclass(frozen=True)
class Gain:
    """How a line differs from another, benchmark by benchmark and in the macro average."""

    label: str
    over: str
    benchmarks: dict[str, Difference]
    macro: Interval | None


def gains(lines: Sequence[Line]) -> list[Gain]:
    """Every line against the first, paired by question.

    Raises OtherQuestionsError when two lines were asked different ones.
    """
    return [_gain(lines[0], line) for line in lines[1:]]


def _acc(answer: Answer) -> float:
    return answer.acc


def _mean(answers: Sequence[Answer], score: Score = _acc) -> float:
    return float(np.mean([score(answer) for answer in answers]))


def _by_question(answers: Sequence[Answer], score: Score) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for answer in answers:
        found.setdefault(answer.doc_id, []).append(score(answer))
    return {question: float(np.mean(values)) for question, values in found.items()}


def _over_questions(answers: Sequence[Answer], score: Score) -> Interval:
    """Several answers to one question are no independent verdicts: their mean is one value."""
    means = list(_by_question(answers, score).values())
    return share(means) if len(means) == len(answers) else mean_of(means)


def _gain(base: Line, line: Line) -> Gain:
    found = {}
    for benchmark in line.benchmarks:
        _require_same(base, line, benchmark)
        found[benchmark] = paired(base.by_question(benchmark), line.by_question(benchmark))
    parts = [found[name].interval for name in line.averaged]
    macro = over_benchmarks(parts) if parts else None
    return Gain(line.label, base.label, found, macro)


def _require_same(base: Line, line: Line, benchmark: str) -> None:
    """The same questions with the same gold answers: data may have changed in between."""
    golds = [
        {answer.doc_id: answer.gold for answer in seed.answers[benchmark]}
        for one in (base, line)
        for seed in one.seeds
    ]
    for other in golds[1:]:
        differing = sorted(golds[0].items() ^ other.items())
        if differing:
            raise OtherQuestionsError(
                f"{benchmark}: {base.label} and {line.label} were not asked the same questions "
                f"({differing[0][0]} and others differ); evaluate both on the same data"
            )
