"""Rows that ask the same question about the same image, within a corpus and across corpora.

Two rows are compared only when their questions are equal (`question_key`). Equal pixels make an
exact duplicate, images within a number of bits of their perceptual hashes a near one. The row that
comes first stays.

Golds that differ tell two things apart. With equal pixels one of the golds is wrong, and nothing
says which: all rows of such a group are dropped. With images that only look alike the difference
may be in the image, a digit beside a line, that a hash does not see: both rows stay and the pair is
listed, for a reader to judge.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from care_verl.data.corpora.fingerprints import stacked
from care_verl.data.corpora.row_fingerprints import RowFingerprint
from care_verl.verifier import verify

Kind = Literal["exact duplicate", "near duplicate", "conflicting golds"]


@dataclass(frozen=True)
class Duplicate:
    """A row to be dropped, and the row it duplicates or contradicts.

    row, of: places in the rows compared. distance: of the images that differ most, in bits.
    """

    row: int
    of: int
    kind: Kind
    distance: int = 0


@dataclass(frozen=True)
class LikePair:
    """Two rows that look alike and have different golds; both stay. Fields as in `Duplicate`."""

    row: int
    of: int
    distance: int


@dataclass
class Duplicates:
    """What was found: rows to be dropped, and pairs that stay but want a look."""

    dropped: dict[int, Duplicate] = field(default_factory=dict)
    like: list[LikePair] = field(default_factory=list)

    def drop(self, duplicates: Iterable[Duplicate]) -> None:
        self.dropped.update((duplicate.row, duplicate) for duplicate in duplicates)


def find_duplicates(rows: Sequence[RowFingerprint], distance: int) -> Duplicates:
    """The duplicates among `rows`; images within `distance` bits count as near."""
    asked = defaultdict[str, list[int]](list)
    for number, row in enumerate(rows):
        asked[row.question].append(number)
    found = Duplicates()
    for numbers in asked.values():
        if len(numbers) > 1:
            found.drop(_exact(rows, numbers))
            _near(rows, [n for n in numbers if n not in found.dropped], distance, found)
    return found


def same_gold(one: RowFingerprint, other: RowFingerprint) -> bool:
    """Whether two rows have the same gold, by the verifier's general rules.

    Those of a corpus are left aside: ChartQA's five per cent would hide a contradiction.
    """
    return one.gold == other.gold or _scores(one, other) or _scores(other, one)


def _scores(answering: RowFingerprint, asked: RowFingerprint) -> bool:
    choices = None if asked.choices is None else list(asked.choices)
    response = f"<think>.</think><answer>{answering.gold}</answer>"
    return verify(response, asked.gold, choices=choices).acc == 1.0


def _exact(rows: Sequence[RowFingerprint], numbers: Sequence[int]) -> Iterator[Duplicate]:
    """Rows with the pixels of an earlier one, or whole groups that contradict themselves."""
    groups = defaultdict[frozenset[bytes], list[int]](list)
    for number in numbers:
        groups[frozenset(image.pixels for image in rows[number].images)].append(number)
    for first, *others in groups.values():
        contradicting = [n for n in others if not same_gold(rows[first], rows[n])]
        if contradicting:
            yield Duplicate(first, contradicting[0], "conflicting golds")
        kind: Kind = "conflicting golds" if contradicting else "exact duplicate"
        yield from (Duplicate(number, first, kind) for number in others)


def _near(
    rows: Sequence[RowFingerprint], numbers: Sequence[int], distance: int, found: Duplicates
) -> None:
    """Add the near duplicates among rows that have one question and no pixels in common."""
    by_images = defaultdict[int, list[int]](list)
    for number in numbers:
        by_images[len(rows[number].images)].append(number)
    for images, members in by_images.items():
        if images == 0:
            continue
        looks = stacked([image.look for n in members for image in rows[n].images])
        looks = looks.reshape(len(members), images, -1)
        kept: list[int] = []
        for place, number in enumerate(members):
            bits = np.bitwise_count(looks[kept] ^ looks[place]).sum(axis=2).max(axis=1, initial=0)
            pairs = [
                LikePair(number, members[kept[k]], int(bits[k]))
                for k in np.flatnonzero(bits <= distance)
            ]
            same = next((p for p in pairs if same_gold(rows[number], rows[p.of])), None)
            if same is None:
                kept.append(place)
                found.like.extend(pairs)
            else:
                found.drop([Duplicate(number, same.of, "near duplicate", same.distance)])
