"""Random numbers that are the same in every process: for the random anchor and selector, and the
seeds that rollouts are decoded with."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

UInt64s = NDArray[np.uint64]


def uniform_draws(uids: Sequence[Hashable], columns: int, seed: int, purpose: str) -> Tensor:
    """Uniform numbers in [0, 1), float64 [N, columns], one for each place of each group.

    A number depends on nothing but the seed, the purpose, the group's uid (as text) and the
    row's place among the originals of its group.
    """
    keys = [
        hashlib.blake2b(f"{seed}/{purpose}/{uid}".encode(), digest_size=8).digest() for uid in uids
    ]
    start = np.frombuffer(b"".join(keys), dtype="<u8").astype(np.uint64)
    step = np.uint64(0x9E3779B97F4A7C15)
    bits = _splitmix64(start[:, None] + step * np.arange(1, columns + 1, dtype=np.uint64))
    return torch.from_numpy((bits >> np.uint64(11)).astype(np.float64) / 2.0**53)


def decoding_seed(seed: int, uid: Hashable, session: int, purpose: str) -> int:
    """The seed of one request, in [0, 2**63), which depends on nothing but the arguments.

    `uid` names the prompt (as text), `session` the request's number among those of the prompt,
    `purpose` separates rollouts from what else is decoded for the same prompt.
    """
    key = f"{seed}/{purpose}/{uid}/{session}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1


def _splitmix64(x: UInt64s) -> UInt64s:
    """Finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64s = x ^ (x >> np.uint64(31))
    return mixed
