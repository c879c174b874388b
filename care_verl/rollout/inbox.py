"""Server's end of the channel: embeddings arrive and wake the request that waits for them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from care_verl.rollout.ticket import Ticket
from care_verl.rollout.wire import Harvested, read_one


# The path of a Unix socket must be short; verl's own sockets are here too.
_FOLDER = "/tmp"


class HarvestLostError(RuntimeError):
    """An embedding that was asked for will not come."""


class EmbeddingInbox:
    """A Unix socket in a directory of mode 0700, which exists only until the workers have connected.

    All methods belong to one event loop.
    """

    def __init__(self) -> None:
        self._awaited: dict[bytes, asyncio.Future[Harvested]] = {}
        self._workers = 0
        self._connected = asyncio.Condition()
        self._lost: str | None = None

    async def listen(self) -> str:
        """Open the socket and return its path."""
        self._folder = Path(tempfile.mkdtemp(prefix="care-harvest-", dir=_FOLDER))
        path = str(self._folder / "inbox")
        self._server = await asyncio.start_unix_server(self._serve, path)
        return path

    async def close_door(self, workers: int, timeout_s: float) -> None:
        """Wait until `workers` have connected, then remove the socket's path: no one else can.

        Raises HarvestLostError when they have not connected in time.
        """
        try:
            async with self._connected:
                everyone = self._connected.wait_for(lambda: self._workers >= workers)
                await asyncio.wait_for(everyone, timeout_s)
        except asyncio.TimeoutError:
            raise HarvestLostError(
                f"{self._workers} of {workers} rollout workers connected to their server "
                f"within {timeout_s:.0f} s; they must run on the server's node, in its /tmp"
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

        Raises HarvestLostError when its worker is gone or silent for `timeout_s`.
        """
        if self._lost is not None:
            raise HarvestLostError(self._lost)
        try:
            return await asyncio.wait_for(self._awaited[ticket.key], timeout_s)
        except asyncio.TimeoutError:
            raise HarvestLostError(
                f"vLLM ended a request, but its rationale embedding did not arrive within "
                f"{timeout_s:.0f} s; the rollout worker is stuck (see its log)"
            ) from None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._connected:
            self._workers += 1
            self._connected.notify_all()
        try:
            while True:
                self._deliver(await read_one(reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            self._lose("the rollout worker that harvests rationales closed its connection")
        finally:
            writer.close()

    def _deliver(self, harvested: Harvested) -> None:
        """Wake who waits; nobody does for a request that was aborted or cancelled."""
        future = self._awaited.get(harvested.key)
        if future is not None and not future.done():
            future.set_result(harvested)

    def _lose(self, reason: str) -> None:
        self._lost = reason
        for future in self._awaited.values():
            if not future.done():
                future.set_exception(HarvestLostError(reason))
