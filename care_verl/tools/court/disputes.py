"""Reads every case of the files twice, counts, and writes down where the readings differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from care_verl import verifier
from care_verl.common.jsonl import Malformed
from care_verl.tools.court.case import (
    BothReadings,
    Case,
    TagNames,
    judge,
    recorded_reading,
    verifier_reading,
)
from care_verl.tools.court.counts import Counts
from care_verl.tools.court.golds import gold_readings
from care_verl.tools.court.report import DISPUTES, MALFORMED, write_line

Readings = Callable[[Case], Iterable[BothReadings]]


def find_disputes(items: Iterator[Case | Malformed], readings: Readings, folder: Path) -> Counts:
    """Count the readings of all cases; write disputes and malformed records to `folder`.

    readings: the readings of one case; one for a response, several for a gold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts = Counts()
    with (folder / DISPUTES).open("w") as disputes, (folder / MALFORMED).open("w") as malformed:
        for item in items:
            if isinstance(item, Malformed):
                counts.add_malformed(item)
                write_line(malformed, item)
                continue
            for pair in readings(item):
                counts.add(pair)
                if pair.direction:
                    write_line(disputes, pair)
    return counts


def readings_of(tags: TagNames, recorded: bool) -> Readings:
    """The readings of one case by the verifier: a response is read once, a gold in several forms.

    recorded: responses have the verdict that stands in the file.
    """
    of_response = recorded_reading(tags) if recorded else verifier_reading(tags)
    of_gold = verifier_reading(TagNames())

    def readings(case: Case) -> Iterable[BothReadings]:
        if case.response is None:
            return gold_readings(case, of_gold, verifier.gold_problem)
        return [judge(case, of_response)]

    return readings
