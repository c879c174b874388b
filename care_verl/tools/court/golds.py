"""A prepared data set's golds before both readings: each as it is, and rewritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from care_verl.tools.court.case import BothReadings, Case, FirstReading, FirstVerdict, judge
from care_verl.tools.court.opinion import Opinion
from care_verl.tools.court.reading import read
from care_verl.tools.court.rewritings import rewritings

GoldProblem = Callable[[str, str, Sequence[str] | None], str | None]


def gold_readings(
    case: Case, first_reading: FirstReading, gold_problem: GoldProblem
) -> Iterator[BothReadings]:
    """Readings of one gold: first whether it can be read at all, then each rewriting against it.

    gold_problem: the verifier's check, None for a gold that is fine. A gold that it refuses is not
    rewritten.
    """
    problem = gold_problem(case.gold, case.data_source, case.choices)
    rule = "gold" if problem is None else f"gold refused: {problem}"
    itself = replace(case, response=case.gold, form="itself")
    yield BothReadings(
        itself, FirstVerdict(float(problem is None), case.gold, rule), _readable(case.gold)
    )
    if problem is not None:
        return
    for form, text in rewritings(case.gold):
        response = f"<think></think><answer>{text}</answer>"
        yield judge(replace(case, response=response, form=form), first_reading)


def _readable(gold: str) -> Opinion:
    reading = read(gold)
    if reading.kind in ("unreadable", "none"):
        return Opinion("cannot_say", f"cannot read it: {reading.reason or 'empty'}")
    return Opinion("same", f"read as {reading.kind}")
