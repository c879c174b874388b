"""Runs of text that look alike on the page: one element each, however many tokens they hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from care_verl.tools.atlas.difference import Range
from care_verl.tools.atlas.tokens import REGIONS, Token

LEVELS = 6
"""Steps of colour for |a_t| above 0."""


@dataclass(frozen=True)
class Segment:
    """text of one region, with one credit.

    level: 0 without credit, else 1 to `LEVELS`. marks: names of the ranges that cover the text.
    """

    text: str
    region: str
    given: bool
    credit: float | None
    level: int
    marks: tuple[str, ...]


def level(credit: float | None, largest: float) -> int:
    """Strength of colour: the root of |a_t| over the group's largest, in `LEVELS` steps.

    The root, because a rationale's tokens have a hundredth of an answer's and are to be seen.
    """
    if not credit or not largest:
        return 0
    return max(1, math.ceil(LEVELS * math.sqrt(abs(credit) / largest) - 1e-9))


def segments(
    tokens: Sequence[Token], ranges: Mapping[str, Sequence[Range]], largest: float
) -> list[Segment]:
    """Cut a response where region, credit or marks change.

    ranges: by the mark's name, ranges of characters in the text of all tokens.
    largest: the largest |a_t| of the group.
    """
    pieces = _pieces(tokens, ranges, largest)
    return [
        replace(first, text="".join([first.text, *(rest.text for rest in members)]))
        for _, run in groupby(pieces, key=lambda piece: replace(piece, text=""))
        for first, *members in [list(run)]
    ]


def region_sums(tokens: Sequence[Token]) -> dict[str, float]:
    """Sum of a_t over the tokens of each region that has any credit."""
    sums = {
        region: sum(token.credit or 0.0 for token in tokens if token.region == region)
        for region in REGIONS
    }
    return {region: value for region, value in sums.items() if value}


def _pieces(
    tokens: Sequence[Token], ranges: Mapping[str, Sequence[Range]], largest: float
) -> Iterator[Segment]:
    cuts = sorted({place for one in ranges.values() for pair in one for place in pair})
    changes = _changes(ranges)
    active: set[str] = set()
    position, nearest = 0, 0
    for token in tokens:
        begin, end = position, position + len(token.text)
        strength = level(token.credit, largest)
        while position < end:
            while nearest < len(cuts) and cuts[nearest] <= position:
                active ^= changes[cuts[nearest]]
                nearest += 1
            stop = min(end, cuts[nearest]) if nearest < len(cuts) else end
            text = token.text[position - begin : stop - begin]
            marks = tuple(sorted(active))
            yield Segment(text, token.region, token.given, token.credit, strength, marks)
            position = stop


def _changes(ranges: Mapping[str, Sequence[Range]]) -> dict[int, set[str]]:
    """At each place the marks that begin or end there."""
    changes: dict[int, set[str]] = {}
    for name, pairs in ranges.items():
        for pair in pairs:
            for place in pair:
                changes.setdefault(place, set()).symmetric_difference_update({name})
    return changes
