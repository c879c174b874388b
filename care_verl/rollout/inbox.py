"""Server's end of the channel: embeddings arrive and wake the request that waits for them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile

from care_verl.common.errors import CareVerlError
from care_verl.rollout.ticket import Ticket
from care_verl.rollout.wire import Decoder, Harvested

# The path of a Unix socket must be short; verl's own sockets are here too.
_FOLDER = "/tmp"


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
        """Wait until `workers` have connected, then remove the socket's path.

        Raises HarvestLostError when they have not connected in time.
        """
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

    def _join(self) -> None:
        self._workers += 1
        self._joined.set()

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
        self._inbox._join()

    def data_received(self, data: bytes) -> None:
        for harvested in self._decoder.feed(data):
            self._inbox._deliver(harvested)

    def connection_lost(self, error: Exception | None) -> None:
        self._inbox._lose()
