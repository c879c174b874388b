"""A stand-in for rationale embeddings: hashed words and pairs of words."""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

from care_verl.tools.replay.batch import Floats

DIMENSIONS = 256
_PAIR = 2654435761
"""Knuth's multiplier; mixes a word's hash with the one before it."""


def substitute(text: str) -> Floats:
    """float64 [DIMENSIONS], L2-normalised; zeros for a text without a word.

    Each word and each pair of neighbouring words, in lower case, adds 1 or −1 at a place, both by
    its CRC-32. Texts that share wording are near each other; meaning is not seen.
    """
    words = np.array([_hash(word) for word in text.lower().split()], dtype=np.uint64)
    pairs = (words[:-1] * np.uint64(_PAIR) + words[1:]) % np.uint64(2**32)
    hashes = np.concatenate([words, pairs])
    place = (hashes % np.uint64(DIMENSIONS)).astype(np.int64)
    sign = 1.0 - 2.0 * ((hashes >> np.uint64(16)) & np.uint64(1)).astype(np.float64)
    counts = np.bincount(place, weights=sign, minlength=DIMENSIONS)
    vector = counts.astype(np.float64)
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm else vector


@lru_cache(maxsize=1 << 16)
def _hash(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "replace"))
