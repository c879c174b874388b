"""A dead engine ends what waits for it: here on a stub, in `test_server` on a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.v1.engine.exceptions import EngineDeadError

from care_verl.rollout.engine_watch import EngineWatch, RolloutEngineDiedError

REASON = "vLLM engine of replica 3 died"


def stub() -> Any:
    return SimpleNamespace(errored=False, engine_core=SimpleNamespace(utility_results={}))


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


def test_a_living_engine_changes_nothing() -> None:
    async def work() -> None:
        watch = EngineWatch(stub(), "replica 3")
        assert await watch.unless_dead(asyncio.sleep(0.01, "result")) == "result"
        with pytest.raises(KeyError):
            await watch.unless_dead(fail(KeyError("x")))

    run(work())


async def fail(error: Exception) -> None:
    raise error


def test_death_ends_requests_and_control_calls_under_way() -> None:
    async def work() -> None:
        engine = stub()
        call = asyncio.get_running_loop().create_future()
        answered = asyncio.get_running_loop().create_future()
        answered.set_result("done")
        engine.engine_core.utility_results = {1: call, 2: answered}
        watch = EngineWatch(engine, "replica 3")
        request = asyncio.create_task(watch.unless_dead(asyncio.sleep(60)))
        await asyncio.sleep(0.01)
        engine.errored = True
        with pytest.raises(RolloutEngineDiedError, match=REASON):
            await request
        with pytest.raises(RolloutEngineDiedError, match=REASON):
            await call
        assert REASON in await watch.died()
        with pytest.raises(RolloutEngineDiedError, match=REASON):
            await watch.unless_dead(asyncio.sleep(60))

    run(work())


def test_vllms_own_error_is_explained() -> None:
    async def work() -> None:
        engine = stub()
        watch = EngineWatch(engine, "replica 3")
        engine.errored = True
        with pytest.raises(RolloutEngineDiedError, match=REASON) as caught:
            await watch.unless_dead(fail(EngineDeadError()))
        assert isinstance(caught.value.__cause__, EngineDeadError)

    run(work())


def test_cancelling_the_caller_cancels_the_request() -> None:
    async def work() -> None:
        watch = EngineWatch(stub(), "replica 3")
        inner = asyncio.create_task(asyncio.sleep(60))
        request = asyncio.create_task(watch.unless_dead(inner))
        await asyncio.sleep(0.01)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await asyncio.sleep(0.01)
        assert inner.cancelled()

    run(work())
