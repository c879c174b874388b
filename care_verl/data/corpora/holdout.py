"""Which rows of a mixture are held out for testing.

The rows that share an image are held out together or not at all, whatever their questions: a model
that trained on a chart would else be tested on it. Each source gives its share of the rows.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from care_verl.data.corpora.fingerprints import stacked
from care_verl.data.corpora.look_index import LookIndex
from care_verl.data.corpora.row_fingerprints import RowFingerprint


def held_out(
    rows: Sequence[RowFingerprint], kept: Sequence[int], size: int, distance: int, seed: int
) -> list[int]:
    """About `size` of the `kept` places in `rows`, ascending; fewer where no group fits.

    distance: images within so many bits of their perceptual hashes are taken for one.

    Raises ValueError when `size` rows would leave none to train on.
    """
    if size >= len(kept):
        raise ValueError(
            f"--holdout {size}: expected fewer than the {len(kept)} rows that are kept"
        )
    if size == 0:
        return []
    left = _shares(Counter(rows[number].source for number in kept), size)
    groups = _groups_by_image(rows, kept, distance)
    random.Random(f"holdout/{seed}").shuffle(groups)
    chosen: list[int] = []
    for group in groups:
        wanted = Counter(rows[number].source for number in group)
        if wanted <= left:
            left -= wanted
            chosen.extend(group)
    return sorted(chosen)


def _shares(counts: Counter[str], size: int) -> Counter[str]:
    """`size` rows shared among the sources by their numbers of rows (largest remainders)."""
    total = counts.total()
    shares = Counter({source: rows * size // total for source, rows in counts.items()})
    by_remainder = sorted(counts, key=lambda source: (-(counts[source] * size % total), source))
    shares.update(by_remainder[: size - shares.total()])
    return shares


def _groups_by_image(
    rows: Sequence[RowFingerprint], kept: Sequence[int], distance: int
) -> list[list[int]]:
    """The kept rows in groups that share images, directly or by way of others."""
    owners = [number for number in kept for _ in rows[number].images]
    looks = stacked([image.look for number in kept for image in rows[number].images])
    leader = {number: number for number in kept}
    for owner, places in zip(owners, LookIndex(looks, distance).near(looks), strict=True):
        _join(leader, owner, (owners[place] for place in places))
    groups = defaultdict[int, list[int]](list)
    for number in kept:
        groups[_leader_of(leader, number)].append(number)
    return list(groups.values())


def _join(leader: dict[int, int], member: int, others: Iterable[int]) -> None:
    for other in others:
        first, second = sorted((_leader_of(leader, member), _leader_of(leader, other)))
        leader[second] = first


def _leader_of(leader: dict[int, int], member: int) -> int:
    while leader[member] != member:
        leader[member] = leader[leader[member]]
        member = leader[member]
    return member
