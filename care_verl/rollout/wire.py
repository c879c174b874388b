"""The message that carries one embedding from a rollout worker to its server.

A header, then the embedding as raw little-endian float32. Nothing is unpickled.
"""

from __future__ import annotations

import asyncio
import struct
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
    """[H]."""
    tokens: int
    """Hidden rows that the embedding pools."""


def encode(harvested: Harvested) -> bytes:
    """The message's bytes."""
    header = _HEADER.pack(harvested.key, harvested.tokens, harvested.embedding.size)
    return header + harvested.embedding.astype(_FLOAT).tobytes()


async def read_one(stream: asyncio.StreamReader) -> Harvested:
    """The next message. Raises `asyncio.IncompleteReadError` where the stream has ended."""
    key, tokens, width = _HEADER.unpack(await stream.readexactly(_HEADER.size))
    values = await stream.readexactly(width * _FLOAT.itemsize)
    return Harvested(key, np.frombuffer(values, _FLOAT).astype(np.float32), tokens)
