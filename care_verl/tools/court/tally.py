"""Counts of a hearing."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from care_verl.tools.court.inputs import Malformed
from care_verl.tools.court.trial import Trial
from care_verl.tools.statistics import wilson

KEPT = 20


@dataclass
class Count:
    """Trials of one kind. both: those in which both readings can say."""

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

    def add(self, trial: Trial) -> None:
        self.judged += 1
        self.no_answer += trial.opinion is None
        unsure = trial.opinion is not None and trial.opinion.judgement == "cannot_say"
        self.cannot_say += unsure
        self.both += trial.opinion is not None and not unsure
        self.false_positives += trial.direction == "possible false positive"
        self.false_negatives += trial.direction == "possible false negative"


@dataclass
class Tally:
    """Counts in all, by data source and rule, and by form; the first disputes and bad records."""

    total: Count = field(default_factory=Count)
    by_rule: dict[tuple[str, str], Count] = field(default_factory=lambda: defaultdict(Count))
    by_form: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    doubts: Counter[str] = field(default_factory=Counter)
    first_disputes: list[Trial] = field(default_factory=list)
    malformed: int = 0
    first_malformed: list[Malformed] = field(default_factory=list)

    def add(self, trial: Trial) -> None:
        self.total.add(trial)
        self.by_rule[trial.case.data_source or "unknown", trial.first.rule].add(trial)
        self.by_form[trial.case.form].add(trial)
        if trial.opinion is not None and trial.opinion.judgement == "cannot_say":
            self.doubts[trial.opinion.reason] += 1
        if trial.direction and len(self.first_disputes) < KEPT:
            self.first_disputes.append(trial)

    def add_malformed(self, malformed: Malformed) -> None:
        self.malformed += 1
        if len(self.first_malformed) < KEPT:
            self.first_malformed.append(malformed)
