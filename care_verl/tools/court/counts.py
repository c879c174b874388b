"""Counts of what both readings said: in all, by data source, rule and form."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from care_verl.common.jsonl import Malformed
from care_verl.tools.court.case import BothReadings
from care_verl.tools.statistics import wilson

KEPT = 20


@dataclass
class Count:
    """Readings of one kind. both: those in which both readings can say."""

    judged: int = 0
    both: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    cannot_say: int = 0
    no_answer: int = 0

    @property
    def disputed(self) -> int:
        """Possible false positives and negatives."""
        return self.false_positives + self.false_negatives

    @property
    def rate(self) -> float | None:
        """Disputed share of those in which both readings can say; None of none."""
        return self.disputed / self.both if self.both else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the rate."""
        return wilson(self.disputed, self.both) if self.both else None

    def add(self, pair: BothReadings) -> None:
        self.judged += 1
        self.no_answer += pair.opinion is None
        unsure = pair.opinion is not None and pair.opinion.judgement == "cannot_say"
        self.cannot_say += unsure
        self.both += pair.opinion is not None and not unsure
        self.false_positives += pair.direction == "possible false positive"
        self.false_negatives += pair.direction == "possible false negative"


@dataclass
class Counts:
    """Counts in all, by data source and rule, and by form; the first disputes and bad records."""

    total: Count = field(default_factory=Count)
    by_rule: dict[tuple[str, str], Count] = field(default_factory=lambda: defaultdict(Count))
    by_form: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    doubts: Counter[str] = field(default_factory=Counter)
    first_disputes: list[BothReadings] = field(default_factory=list)
    malformed: int = 0
    first_malformed: list[Malformed] = field(default_factory=list)

    def add(self, pair: BothReadings) -> None:
        self.total.add(pair)
        self.by_rule[pair.case.data_source or "unknown", pair.first.rule].add(pair)
        self.by_form[pair.case.form].add(pair)
        if pair.opinion is not None and pair.opinion.judgement == "cannot_say":
            self.doubts[pair.opinion.reason] += 1
        if pair.direction and len(self.first_disputes) < KEPT:
            self.first_disputes.append(pair)

    def add_malformed(self, malformed: Malformed) -> None:
        self.malformed += 1
        if len(self.first_malformed) < KEPT:
            self.first_malformed.append(malformed)
