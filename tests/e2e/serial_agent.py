"""verl's single-turn agent, one rollout at a time in the order in which sessions were started.

vLLM samples from one random stream (per-request seeds do not work in its CPU build), so two runs
with the same weights sample the same tokens when requests never share a batch.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop


class SerialSingleTurnAgent(SingleTurnAgentLoop):
    _turn: ClassVar[asyncio.Lock] = asyncio.Lock()

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        async with self._turn:
            return await super().run(sampling_params, **kwargs)
