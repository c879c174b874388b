"""A time limit that begins with a request's first token.

A limit from the call on would count the wait in vLLM's queue, which is long for the requests of
whichever prompts come first in a step: those would be given up more often than others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from care_verl.platform.places import SERVER
from care_verl.platform.seam import Seam

T = TypeVar("T")


RELIES_ON = (
    Seam(
        f"{SERVER}.generate",
        "a request's tokens come from the engine's generate",
        "generator = self.engine.generate(",
        "request_id=request_id,",
        "priority=priority,",
        "async for output in generator:",
    ),
)


class FirstTokens:
    """Sees the first output of each request of an `AsyncLLM`, whose `generate` it wraps."""

    def __init__(self, engine: Any) -> None:
        self._awaited: dict[str, asyncio.Event] = {}
        generate = engine.generate

        def generate_and_tell(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            outputs: AsyncIterator[Any] = generate(*args, **kwargs)
            # vLLM's HTTP server gives it by position, and asks for no limit.
            begun = self._awaited.get(kwargs.get("request_id", ""))
            return outputs if begun is None else _telling(outputs, begun)

        engine.generate = generate_and_tell

    async def limited(self, work: Awaitable[T], request_id: str, limit_s: float) -> T:
        """Await `work`, which generates `request_id`; without any limit until its first token.

        Raises asyncio.TimeoutError `limit_s` seconds after that token. `work` is then cancelled,
        at which vLLM drops the request.
        """
        begun = self._awaited[request_id] = asyncio.Event()
        task = asyncio.ensure_future(work)
        first = asyncio.ensure_future(begun.wait())
        try:
            await asyncio.wait({task, first}, return_when=asyncio.FIRST_COMPLETED)
            return await asyncio.wait_for(task, limit_s)
        finally:
            first.cancel()
            task.cancel()
            del self._awaited[request_id]


async def _telling(outputs: AsyncIterator[Any], begun: asyncio.Event) -> AsyncIterator[Any]:
    async for output in outputs:
        begun.set()
        yield output
