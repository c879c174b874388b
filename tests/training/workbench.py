"""A worker of CARE's agent loop whose sessions, replies and scores follow a script."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.workers.rollout.replica import TokenOutput

from care_verl.training.care.agent_loop import CareAgentLoopWorker
from care_verl.training.fields import (
    CARE,
    EMBEDDING,
)
from care_verl.training.run.agent_loop import GroupWorker

from .samples import MemoryQueue, agent_output

WORKER_BASE: Any = GroupWorker.__mro__[1]


RESPONSE_LENGTH = 150


RIGHT = "<think>red3 blue5</think><answer>8</answer><|im_end|>"


WRONG = "<think>red3 blue6</think><answer>9</answer><|im_end|>"


REPAIRED = "blue5</think><answer>8</answer><|im_end|>"


Script = Sequence[str | BaseException]


"""What each session decodes, or how it fails."""


class ScriptedClient:
    """The rollout client of reflections."""

    def __init__(
        self,
        tokenizer: Any,
        reply: str = REPAIRED,
        stop_reason: str | None = None,
        error: Exception | None = None,
    ) -> None:
        self._reply = tokenizer.encode(reply) if reply else []
        self._stop_reason, self._error = stop_reason, error
        self.calls: list[dict[str, Any]] = []

    async def generate(self, request_id: str, **request: Any) -> TokenOutput:
        self.calls.append(request)
        if self._error is not None:
            raise self._error
        return TokenOutput(
            token_ids=self._reply,
            log_probs=[-0.25] * len(self._reply),
            stop_reason=self._stop_reason,
        )


class Workbench:
    """A worker whose sessions follow a script; `delays` is the order in which they end."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tokenizer: Any,
        script: Script,
        delays: Sequence[float] | None = None,
        client: ScriptedClient | None = None,
        care: dict[str, Any] | None = None,
        end_tokens: list[int] | None = None,
    ) -> None:
        self.monkeypatch, self.tokenizer, self.script = monkeypatch, tokenizer, script
        self.delays = delays or [0.0] * len(script)
        self.client = client or ScriptedClient(tokenizer)
        self.end_tokens = end_tokens
        self.session_params: list[dict[str, Any]] = []
        self.worker = self._worker(care or {})
        bench = self

        async def run_agent_loop(
            worker: Any, sampling_params: dict[str, Any], trajectory: dict[str, Any], **kwargs: Any
        ) -> None:
            bench.session_params.append(sampling_params)
            await asyncio.sleep(bench.delays[kwargs["session_id"]])
            output = bench.session_output(kwargs["session_id"])
            del kwargs["trace"]
            await worker._agent_loop_postprocess(output, trajectory["validate"], **kwargs)

        async def compute_score(
            worker: Any, outputs: list[AgentLoopOutput], kwargs: dict[str, Any]
        ) -> None:
            if outputs[-1].reward_score is None:
                bench.score(outputs[-1])

        monkeypatch.setattr(WORKER_BASE, "_run_agent_loop", run_agent_loop)
        monkeypatch.setattr(WORKER_BASE, "_compute_score", compute_score)

    def _worker(self, care: dict[str, Any]) -> Any:
        """Built by CARE's constructor; verl's only sets what it would set."""
        n, bench = len(self.script), self
        rollout = {"n": n, "val_kwargs": {"n": n}, "response_length": RESPONSE_LENGTH}
        config = {"actor_rollout_ref": {"rollout": rollout}, "algorithm": {"care": care}}

        def construct(worker: Any) -> None:
            worker.config = OmegaConf.create(config)
            worker.tokenizer, worker.processor = bench.tokenizer, None
            generation = SimpleNamespace(eos_token_id=bench.end_tokens)
            worker.model_config = SimpleNamespace(generation_config=generation)
            worker.llm_client = bench.client
            worker.distillation_enabled = False

        self.monkeypatch.setattr(WORKER_BASE, "__init__", construct)
        return CareAgentLoopWorker()

    def session_output(self, session: int) -> AgentLoopOutput:
        scripted = self.script[session]
        if isinstance(scripted, BaseException):
            raise scripted
        # Session 1 is nearer to the anchor, [1, 0], than the sessions behind it.
        angle = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]][session]
        embedding = np.asarray(angle, dtype=np.float32)
        return agent_output(
            self.tokenizer.encode(scripted), extra_fields={"turn_scores": [], EMBEDDING: embedding}
        )

    def score(self, output: AgentLoopOutput) -> None:
        acc = float("<answer>8</answer>" in self._text(output))
        output.reward_score = acc
        output.extra_fields["reward_extra_info"] = {"acc": acc}

    def _text(self, output: AgentLoopOutput) -> str:
        known = [token for token in output.response_ids if token < len(self.tokenizer)]
        return str(self.tokenizer.decode(known))

    def run(self, validate: bool = False, **prompt: Any) -> None:
        fields = {"uid": "u", "global_steps": 4, "agent_name": "single_turn_agent", **prompt}
        sampling = {"temperature": 1.0, "logprobs": True}
        asyncio.run(self.worker._run_prompt(fields, sampling, {"validate": validate}))
        assert self.worker._groups == {}


def reflected_from(queue: MemoryQueue, key: str) -> int:
    return int(queue.rows[key]["extra_fields"][CARE]["reflected_from"])


def session_with(tokenizer: Any, ids: list[int]) -> AgentLoopOutput:
    """`<think>`, 7 and these tokens."""
    embedding = np.zeros(2, dtype=np.float32)
    return agent_output([*tokenizer.encode("<think>7"), *ids], extra_fields={EMBEDDING: embedding})
