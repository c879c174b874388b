"""Images that look alike, found among many without comparing all pairs.

The bits of a hash are cut into more bands than bits may differ: two hashes within that distance
agree in at least one whole band. So nothing within the distance is missed, and only hashes that
share a band are compared.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from care_verl.data.corpora.fingerprints import HASH_BITS, Looks, distances

# A band's bits are kept in one word.
_FEWEST_BANDS = HASH_BITS // 64


class LookIndex:
    """The members of `looks`, (N, 4), by what they look like; `distance` in bits, 0 to 255."""

    def __init__(self, looks: Looks, distance: int) -> None:
        self._looks = looks
        self._distance = distance
        self._order = []
        self._sorted = []
        for keys in _bands(looks, distance):
            order = np.argsort(keys, kind="stable")
            self._order.append(order)
            self._sorted.append(keys[order])

    def near(self, looks: Looks) -> Iterator[npt.NDArray[np.int64]]:
        """For each of `looks`, (M, 4): the places of the members within the distance, ascending."""
        spans = [
            (np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right"))
            for keys, wanted in zip(self._sorted, _bands(looks, self._distance), strict=True)
        ]
        for number, look in enumerate(looks):
            found = [
                order[first[number] : last[number]]
                for order, (first, last) in zip(self._order, spans, strict=True)
            ]
            places = np.unique(np.concatenate(found))
            yield places[distances(look, self._looks[places]) <= self._distance]


def _bands(looks: Looks, distance: int) -> list[npt.NDArray[np.uint64]]:
    """The keys of each band, each (N,): its bits as a number."""
    bits = np.unpackbits(looks.view(np.uint8), axis=1).astype(np.uint64)
    count = max(_FEWEST_BANDS, distance + 1)
    edges = np.linspace(0, HASH_BITS, count + 1).round().astype(int)
    return [
        bits[:, first:last] @ (np.uint64(1) << np.arange(last - first, dtype=np.uint64))
        for first, last in pairwise(edges)
    ]
