"""The second opinion on an answer, multiple choice and charts included."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from care_verl.tools.court.comparison import compare_readings
from care_verl.tools.court.opinion import EXACT, Opinion
from care_verl.tools.court.plain_text import unwrapped
from care_verl.tools.court.reading import read

CHART_TOLERANCE = 0.05
_OPTIONS = "ABCDEFGHIJ"
_PREFIX = r"(?:(?:the )?(?:option|choice|answer)(?: is)?:? )?"
_BARE = re.compile(rf"(?i:{_PREFIX})\(?([{_OPTIONS}])\)?[.:)]?|\(?([{_OPTIONS.lower()}])\)")
_LABELLED = re.compile(
    rf"(?:\(([{_OPTIONS}{_OPTIONS.lower()}])\)|([{_OPTIONS}])[.):]|([{_OPTIONS.lower()}])\))\s+"
    r"(\S.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class _Option:
    """An option's number from 0, and the text behind its letter."""

    number: int
    rest: str | None


def second_opinion(
    answer: str, gold: str, data_source: str = "", choices: Sequence[str] | None = None
) -> Opinion:
    """Whether `answer` says what `gold` says. Never raises; linear in the length of both.

    data_source: one that contains `chartqa` grants numbers 5 % of the gold.
    choices: the options' texts in order, where they are known.
    """
    choices = [_without_label(choice, number) for number, choice in enumerate(choices or ())]
    tolerance = CHART_TOLERANCE if "chartqa" in data_source.lower() else EXACT
    given, wanted = _option(answer, choices), _option(gold, choices)
    if given and wanted:
        return _two_letters(given, wanted)
    if wanted:
        return _text_for_letter(answer, wanted, choices, tolerance)
    if given:
        return _letter_for_text(given, gold, choices, tolerance)
    return compare_readings(read(answer), read(gold), tolerance)


def _without_label(choice: str, number: int) -> str:
    """The text of an option that carries its own letter, as in `B. 12 cm`."""
    found = _option(choice, None)
    return found.rest if found and found.rest and found.number == number else choice


def _option(text: str, choices: Sequence[str] | None) -> _Option | None:
    plain = unwrapped(text)
    found = _BARE.fullmatch(plain) or _LABELLED.fullmatch(plain)
    if found is None:
        return None
    letter = next(group for group in found.groups() if group)
    number = _OPTIONS.index(letter.upper())
    if choices and number >= len(choices):
        return None
    return _Option(number, found[4] if found.re is _LABELLED else None)


def _two_letters(given: _Option, wanted: _Option) -> Opinion:
    if given.number == wanted.number:
        return Opinion("same", "the same option")
    if given.rest and wanted.rest and _say(given.rest, wanted.rest) == "same":
        return Opinion("cannot_say", "another letter with the same text")
    return Opinion("different", "different options")


def _text_for_letter(
    answer: str, wanted: _Option, choices: Sequence[str], tolerance: float
) -> Opinion:
    if not choices:
        if wanted.rest:
            return compare_readings(read(answer), read(wanted.rest), tolerance)
        return Opinion("cannot_say", "a text for a letter, and the options are unknown")
    said = [_say(answer, choice) for choice in choices]
    if said[wanted.number] == "same":
        if said.count("same") > 1:
            return Opinion("cannot_say", "the text of several options")
        return Opinion("same", "the text of the option")
    if said[wanted.number] == "cannot_say":
        return Opinion("cannot_say", "a text that may be the option's")
    return Opinion("different", "not the text of the option")


def _letter_for_text(
    given: _Option, gold: str, choices: Sequence[str], tolerance: float
) -> Opinion:
    text = choices[given.number] if choices else given.rest
    if text is None:
        return Opinion("cannot_say", "a letter for a text, and the options are unknown")
    opinion = compare_readings(read(text), read(gold), tolerance)
    if opinion.judgement == "different" and not choices:
        return Opinion("cannot_say", "a labelled text that differs, and the options are unknown")
    return opinion


def _say(answer: str, gold: str) -> str:
    return compare_readings(read(answer), read(gold)).judgement
