"""verl's single-turn agent, one rollout at a time and always in the same order.

vLLM samples from one random stream (verl sends requests without seeds of their own), so two runs
with the same weights sample the same tokens when requests never share a batch and come in the same
order. Sessions start in an order that depends on timing: they wait here until all of a step are
there, and go on sorted by prompt and session.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

Turn = tuple[int, int]


class SerialSingleTurnAgent(SingleTurnAgentLoop):
    _waiting: ClassVar[list[Turn]] = []
    _changed: ClassVar[asyncio.Condition] = asyncio.Condition()
    _served: ClassVar[int] = 0

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        cls = SerialSingleTurnAgent
        turn = (int(kwargs["index"]), int(kwargs["session_id"]))
        sessions = self.config.data.train_batch_size * self.rollout_config.n
        async with cls._changed:
            cls._waiting.append(turn)
            cls._changed.notify_all()
            await cls._changed.wait_for(
                lambda: len(cls._waiting) == sessions and sorted(cls._waiting)[cls._served] == turn
            )
        output = await super().run(sampling_params, **kwargs)
        async with cls._changed:
            cls._served += 1
            if cls._served == sessions:
                cls._waiting.clear()
                cls._served = 0
            cls._changed.notify_all()
        return output
