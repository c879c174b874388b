"""verl's single-turn agent with one sampling seed for each rollout.

Two runs with the same weights then sample the same tokens, in whatever order requests are batched.
"""

from __future__ import annotations

import zlib
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, register
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop


@register("seeded_single_turn_agent")
class SeededSingleTurnAgent(SingleTurnAgentLoop):
    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        name = f"{kwargs['global_steps']}/{kwargs['index']}/{kwargs['session_id']}"
        seeded = {**sampling_params, "seed": zlib.crc32(name.encode())}
        return await super().run(seeded, **kwargs)
