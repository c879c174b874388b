"""The message that carries one embedding from a rollout worker to its server.

A header, then the embedding as raw little-endian float32. Nothing is unpickled.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from care_verl.rollout.ticket import KEY_BYTES

_HEADER = struct.Struct(f"<{KEY_BYTES}sII")
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True)
class Harvested:
    """The embedding of one request."""

    key: bytes
    embedding: NDArray[np.float32]
    """[H]; [0] where the harvest lost track of the request."""
    tokens: int
    """Hidden rows that the embedding pools."""


def encode(harvested: Harvested) -> bytes:
    """The message's bytes."""
    header = _HEADER.pack(harvested.key, harvested.tokens, harvested.embedding.size)
    return header + harvested.embedding.astype(_FLOAT).tobytes()


class Decoder:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Harvested]:
        """The messages that `data` completes."""
        self._pending += data
        while len(self._pending) >= _HEADER.size:
            key, tokens, width = _HEADER.unpack_from(self._pending)
            end = _HEADER.size + width * _FLOAT.itemsize
            if len(self._pending) < end:
                return
            values = bytes(self._pending[_HEADER.size : end])
            del self._pending[:end]
            yield Harvested(key, np.frombuffer(values, _FLOAT).astype(np.float32), tokens)
