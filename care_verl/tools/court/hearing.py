"""A hearing: every case of the files before both readings, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from care_verl import verifier
from care_verl.tools.court.golds import gold_trials
from care_verl.tools.court.inputs import Malformed
from care_verl.tools.court.report import DISPUTES, MALFORMED, write_line
from care_verl.tools.court.tally import Tally
from care_verl.tools.court.trial import (
    Case,
    TagNames,
    Trial,
    judge,
    recorded_reading,
    verifier_reading,
)

Trials = Callable[[Case], Iterable[Trial]]


def hear(items: Iterator[Case | Malformed], trials: Trials, folder: Path) -> Tally:
    """Count the trials of all cases; write disputes and malformed records to `folder` as they come.

    trials: the trials of one case; one for a response, several for a gold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tally = Tally()
    with (folder / DISPUTES).open("w") as disputes, (folder / MALFORMED).open("w") as malformed:
        for item in items:
            if isinstance(item, Malformed):
                tally.add_malformed(item)
                write_line(malformed, item)
                continue
            for trial in trials(item):
                tally.add(trial)
                if trial.direction:
                    write_line(disputes, trial)
    return tally


def trials_of(tags: TagNames, recorded: bool) -> Trials:
    """The trials of one case by the verifier: a response is read once, a gold in several forms.

    recorded: responses have the verdict that stands in the file.
    """
    of_response = recorded_reading(tags) if recorded else verifier_reading(tags)
    of_gold = verifier_reading(TagNames())

    def trials(case: Case) -> Iterable[Trial]:
        if case.response is None:
            return gold_trials(case, of_gold, verifier.gold_problem)
        return [judge(case, of_response)]

    return trials
