"""A vLLM engine in this process, with the harvest installed as the server installs it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import vllm
from vllm import SamplingParams

from care_verl.common.vocabulary import vocab_bytes
from care_verl.rollout.channel import EmbeddingInbox, Harvested
from care_verl.rollout.extension import INSTALL, HarvestWorkerExtension
from care_verl.rollout.ticket import Ticket

T = TypeVar("T")

EXTENSION = f"{HarvestWorkerExtension.__module__}.{HarvestWorkerExtension.__qualname__}"


@dataclass
class Ask:
    """A request: its prompt as vLLM takes it, and whether the prompt opens the rationale."""

    prompt: dict[str, Any]
    sampling: SamplingParams
    prefilled: bool = False
    tagged: bool = True


@dataclass
class Answer:
    """What came back for an `Ask`; `harvested` is None for an untagged one.

    `log_probs` are of the response tokens, where the sampling parameters ask for them.
    """

    ask: Ask
    prompt_ids: list[int]
    response_ids: list[int]
    harvested: Harvested | None
    log_probs: list[float]

    @property
    def embedding(self) -> np.ndarray:
        assert self.harvested is not None
        return self.harvested.embedding


class LoopThread:
    """An event loop for the inbox, while vLLM's own synchronous loop holds the main thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class HarvestingEngine:
    """`vllm.LLM` around the embedded model, small enough to be short of cache at all times."""

    def __init__(self, model: Path, loop: LoopThread, **options: Any) -> None:
        self.llm = vllm.LLM(
            str(model),
            worker_extension_cls=EXTENSION,
            disable_log_stats=False,
            seed=0,
            **{"dtype": "float32", "enforce_eager": True, **options},
        )
        self._loop = loop
        self._inbox = EmbeddingInbox()

    def install(self, settings: dict[str, Any]) -> None:
        path = self._loop.run(self._inbox.listen())
        pieces = vocab_bytes(self.llm.get_tokenizer())
        self.llm.collective_rpc(INSTALL, args=(settings, pieces, path))
        self._loop.run(self._inbox.close_door(1, timeout_s=10))

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        tickets = [self._tag(ask) for ask in asks]
        outputs = self.llm.generate(
            [ask.prompt for ask in asks], [ask.sampling for ask in asks], use_tqdm=False
        )
        # The synchronous loop stops with the last request, one step before its embedding leaves.
        self.llm.llm_engine.step()
        return [
            Answer(
                ask,
                list(output.prompt_token_ids),
                list(output.outputs[0].token_ids),
                self._loop.run(self._inbox.receive(ticket, 10)) if ticket else None,
                _log_probs(output.outputs[0]),
            )
            for ask, ticket, output in zip(asks, tickets, outputs, strict=True)
        ]

    def metric(self, name: str) -> float:
        return sum(metric.value for metric in self.llm.get_metrics() if metric.name == name)

    def _tag(self, ask: Ask) -> Ticket | None:
        if not ask.tagged:
            return None
        ticket = Ticket.draw(ask.prefilled)
        ask.sampling.extra_args = ticket.as_extra_args()
        self._loop.run(self._expect(ticket))
        return ticket

    async def _expect(self, ticket: Ticket) -> None:
        self._inbox.expect(ticket)


def _log_probs(output: Any) -> list[float]:
    tokens = zip(output.logprobs or [], output.token_ids, strict=bool(output.logprobs))
    return [candidates[token].logprob for candidates, token in tokens]


@contextmanager
def harvesting_engine(
    model: Path, settings: dict[str, Any], **options: Any
) -> Iterator[HarvestingEngine]:
    """An engine in this process; the caller has set VLLM_ENABLE_V1_MULTIPROCESSING=0."""
    loop = LoopThread()
    engine = HarvestingEngine(model, loop, **options)
    engine.install(settings)
    try:
        yield engine
    finally:
        engine.llm.llm_engine.engine_core.shutdown()
        loop.stop()
