"""A dead vLLM engine ends every call that waits for it.

vLLM notices the death of its engine process or of a worker and fails the requests being decoded.
Two things it leaves open: control calls that are under way (weight sync, sleep, cache reset) wait
for an answer for ever, and nobody is told who is not calling at that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from vllm.v1.engine.core_client import AsyncMPClient
from vllm.v1.engine.exceptions import EngineDeadError

from care_verl.common.errors import CareVerlError
from care_verl.platform.contract import require_source

T = TypeVar("T")

_POLL_S = 0.2


class RolloutEngineDiedError(CareVerlError, RuntimeError):
    """vLLM's engine process, or one of its workers, is gone."""


class EngineWatch:
    """Watches one `AsyncLLM`. Create it in the event loop that serves the engine.

    Raises ContractError where vLLM keeps the futures of control calls elsewhere.
    """

    def __init__(self, engine: Any, name: str) -> None:
        require_source(AsyncMPClient._call_utility_async, "self.utility_results[call_id] = future")
        self._engine = engine
        self._name = name
        self._task = asyncio.create_task(self._watch(), name="care-engine-watch")

    async def died(self) -> str:
        """Return, once the engine is dead, what to say about it."""
        return await asyncio.shield(self._task)

    async def unless_dead(self, result: Awaitable[T]) -> T:
        """Await `result`; raise RolloutEngineDiedError as soon as the engine is dead."""
        work = asyncio.ensure_future(result)
        try:
            await asyncio.wait({work, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise RolloutEngineDiedError(self._task.result())
            return await work
        except EngineDeadError as error:
            raise RolloutEngineDiedError(await self.died()) from error
        finally:
            work.cancel()

    async def _watch(self) -> str:
        while not self._engine.errored:
            await asyncio.sleep(_POLL_S)
        reason = (
            f"the vLLM engine of {self._name} died; its log above says why (out of memory, "
            "killed, or an error in a worker). The run cannot go on: fix the cause and resume "
            "from the last checkpoint"
        )
        for call in list(self._engine.engine_core.utility_results.values()):
            if not call.done():
                call.set_exception(RolloutEngineDiedError(reason))
        return reason
