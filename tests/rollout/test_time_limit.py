"""The limit of a request counts from its first token. That vLLM drops it: `test_server`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from care_verl.rollout.time_limit import FirstTokens


class Engine:
    """Queues a request for some seconds, then streams its tokens, one each `pace` seconds."""

    def __init__(self, queued: float, pace: float, tokens: int = 4) -> None:
        self.queued, self.pace, self.tokens = queued, pace, tokens
        self.dropped = False

    async def generate(self, prompt: Any, *, request_id: str) -> AsyncIterator[int]:
        try:
            await asyncio.sleep(self.queued)
            for token in range(self.tokens):
                yield token
                await asyncio.sleep(self.pace)
        except (asyncio.CancelledError, GeneratorExit):
            self.dropped = True
            raise


async def consume(engine: Any) -> list[int]:
    return [token async for token in engine.generate([1], request_id="r")]


async def limited(engine: Engine, limit_s: float) -> list[int]:
    first_tokens = FirstTokens(engine)
    return await first_tokens.limited(consume(engine), "r", limit_s)


def test_the_wait_in_the_queue_is_not_counted() -> None:
    engine = Engine(queued=0.6, pace=0.0)
    assert asyncio.run(limited(engine, 0.3)) == [0, 1, 2, 3]
    assert not engine.dropped


def test_a_request_that_decodes_for_too_long_is_dropped() -> None:
    engine = Engine(queued=0.0, pace=30.0)
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(limited(engine, 0.05))
    assert engine.dropped


def test_a_failure_in_the_queue_is_raised_at_once() -> None:
    async def fails() -> None:
        raise ValueError("the engine died")

    async def run() -> None:
        await FirstTokens(Engine(0.0, 0.0)).limited(fails(), "r", 60)

    with pytest.raises(ValueError, match="the engine died"):
        asyncio.run(run())


def test_other_requests_pass_untouched() -> None:
    engine = Engine(queued=0.0, pace=0.0)
    FirstTokens(engine)
    assert asyncio.run(consume(engine)) == [0, 1, 2, 3]


def test_who_stops_waiting_drops_the_request() -> None:
    engine = Engine(queued=30.0, pace=0.0)

    async def run() -> None:
        waiting = asyncio.ensure_future(limited(engine, 60))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait({waiting})
        # The task that it awaited is cancelled too, in the loop's next round.
        await asyncio.sleep(0.05)

    asyncio.run(run())
    assert engine.dropped
