"""The channel on which embeddings go from a rollout worker to the request that waits for them.

The worker has the `EmbeddingSender`, its server the `EmbeddingInbox`. A message is a header and the
embedding as raw little-endian float32. Nothing is unpickled.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from care_verl.common.errors import CareVerlError
from care_verl.rollout.ticket import KEY_BYTES, Ticket

if TYPE_CHECKING:
    from care_verl.rollout.harvest import Delivery

# The path of a Unix socket must be short; verl's own sockets are here too.
_FOLDER = "/tmp"
_HEADER = struct.Struct(f"<{KEY_BYTES}sII")
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True)
class Harvested:
    """The embedding of one request, [H], and how many hidden rows it pools.

    It is [0] where the harvest lost track of the request.
    """

    key: bytes
    embedding: NDArray[np.float32]
    tokens: int


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


class EmbeddingSender:
    """Sends deliveries to the server at `path`, so that the decode step never waits for them.

    The thread waits for the device and for the socket. Should it fail, its end of the socket
    closes, which the server takes for the loss of this worker. Raises OSError where nobody listens.
    """

    def __init__(self, path: str) -> None:
        self._queue: SimpleQueue[Delivery] = SimpleQueue()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path)
        threading.Thread(
            target=self._send_all, args=(connection,), name="care-embeddings", daemon=True
        ).start()

    def put(self, delivery: Delivery) -> None:
        """Queue a delivery and return at once."""
        self._queue.put(delivery)

    def _send_all(self, connection: socket.socket) -> None:
        with connection:
            while True:
                delivery = self._queue.get()
                embeddings = delivery.embeddings.wait().numpy()
                counts = delivery.counts.wait().tolist()
                for ticket, row, tokens in zip(delivery.tickets, embeddings, counts, strict=True):
                    embedding = row[:0] if ticket.key in delivery.lost else row
                    connection.sendall(encode(Harvested(ticket.key, embedding, tokens)))


class HarvestLostError(CareVerlError, RuntimeError):
    """An embedding that was asked for will not come."""


class EmbeddingInbox:
    """A Unix socket for the rollout workers of one server. All methods belong to one event loop.

    The socket's path lies in a directory of mode 0700 and is removed as soon as the workers have
    connected: nothing is left to clean up, whatever ends the server, and no one else can connect.
    """

    def __init__(self) -> None:
        self._awaited: dict[bytes, asyncio.Future[Harvested]] = {}
        self._workers = 0
        self._joined = asyncio.Event()
        self._lost: str | None = None

    async def listen(self) -> str:
        """Open the socket and return its path."""
        self._folder = tempfile.mkdtemp(prefix="care-harvest-", dir=_FOLDER)
        path = f"{self._folder}/inbox"
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Connection(self), path)
        return path

    async def close_door(self, workers: int, timeout_s: float) -> None:
        """Wait for `workers` to connect, else raise HarvestLostError; remove the socket's path."""
        try:
            while self._workers < workers:
                self._joined.clear()
                await asyncio.wait_for(self._joined.wait(), timeout_s)
        except asyncio.TimeoutError:
            raise HarvestLostError(
                f"{self._workers} of {workers} rollout workers connected to their server within "
                f"{timeout_s:.0f} s; they must run on its node and share its {_FOLDER}"
            ) from None
        finally:
            self._server.close()
            shutil.rmtree(self._folder)

    def expect(self, ticket: Ticket) -> None:
        """Keep the embedding of this ticket when it comes."""
        self._awaited[ticket.key] = asyncio.get_running_loop().create_future()

    def forget(self, ticket: Ticket) -> None:
        """Drop the embedding of this ticket, come or not."""
        self._awaited.pop(ticket.key).cancel()

    async def receive(self, ticket: Ticket, timeout_s: float) -> Harvested:
        """The embedding of an expected ticket.

        Raises HarvestLostError when its worker is gone, or silent for `timeout_s`.
        """
        arrival = self._awaited[ticket.key]
        if self._lost is not None and not arrival.done():
            raise HarvestLostError(self._lost)
        try:
            return await asyncio.wait_for(arrival, timeout_s)
        except asyncio.TimeoutError:
            raise HarvestLostError(
                "vLLM ended a request, but its rationale embedding did not arrive within "
                f"{timeout_s:.0f} s; the rollout worker is stuck (see its log)"
            ) from None

    def _deliver(self, harvested: Harvested) -> None:
        """Wake who waits; nobody does for a request that was aborted or cancelled."""
        arrival = self._awaited.get(harvested.key)
        if arrival is not None and not arrival.done():
            arrival.set_result(harvested)

    def _lose(self) -> None:
        self._lost = (
            "the rollout worker that harvests rationales closed its connection: it ended, or its "
            "sending thread failed (see its log)"
        )
        for arrival in self._awaited.values():
            if not arrival.done():
                arrival.set_exception(HarvestLostError(self._lost))


class _Connection(asyncio.Protocol):
    """One worker's connection."""

    def __init__(self, inbox: EmbeddingInbox) -> None:
        self._inbox = inbox
        self._decoder = Decoder()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inbox._workers += 1
        self._inbox._joined.set()

    def data_received(self, data: bytes) -> None:
        for harvested in self._decoder.feed(data):
            self._inbox._deliver(harvested)

    def connection_lost(self, error: Exception | None) -> None:
        self._inbox._lose()
