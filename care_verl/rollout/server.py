"""verl's vLLM server, returning rationale embeddings and failing at once when its engine dies."""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Any

from verl.workers.rollout.replica import TokenOutput
from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMHttpServer

from care_verl.common.vocabulary import end_token_ids, vocab_bytes
from care_verl.platform import vllm_buffers
from care_verl.platform.places import SERVER
from care_verl.platform.seam import Seam
from care_verl.rollout.channel import EmbeddingInbox
from care_verl.rollout.checks import V2_RUNNER_ENV, check_rollout_config
from care_verl.rollout.engine_cleanup import EngineCleanup
from care_verl.rollout.engine_watch import EngineWatch
from care_verl.rollout.extension import INSTALL, HarvestWorkerExtension
from care_verl.rollout.settings import (
    CUSTOM_KEY,
    EMBEDDING_FIELD,
    TIME_LIMIT_KEY,
    TIMED_OUT,
    TOKENS_FIELD,
    HarvestRequest,
    HarvestSettings,
    harvest_settings,
)
from care_verl.rollout.ticket import Ticket
from care_verl.rollout.time_limit import FirstTokens

POLICY_KEYS = {"scheduling_policy", "scheduling-policy"}
_CONNECT_TIMEOUT_S = 60.0
# An embedding leaves the worker in the step after its request's last one.
_ARRIVAL_TIMEOUT_S = 120.0


RELIES_ON = (
    Seam(
        f"{SERVER}.__init__",
        "a server is made ready before its engine starts",
        "self._post_init(cuda_visible_devices)",
    ),
    Seam(
        f"{SERVER}.launch_server",
        "the engine is given a worker extension, then runs",
        "self._get_worker_extension_cls()",
        "await self.run_server(server_args)",
    ),
    Seam(
        f"{SERVER}.launch_server",
        "engine arguments are mended, then come last",
        "self._preprocess_engine_kwargs(engine_kwargs)",
        '"scheduling_policy": self.config.scheduling_policy',
        "**engine_kwargs,",
    ),
)


class CareVLLMServer(vLLMHttpServer):  # type: ignore[misc]
    """`vLLMHttpServer` that understands the sampling parameter `care_harvest`.

    Without `rollout.custom.care_harvest` it differs from verl's server only in what happens when
    the engine dies.
    """

    def _post_init(self, cuda_visible_devices: str) -> None:
        super()._post_init(cuda_visible_devices)
        self._harvest = harvest_settings(self.config.custom)
        # Engine and workers inherit it, and import the plugin before they load weights.
        os.environ[vllm_buffers.ASKED] = "1"
        if self._harvest is not None:
            check_rollout_config(self.config)
            # On CUDA vLLM serves dense models with its V2 runner unless told otherwise. Engine
            # and workers inherit the variable.
            os.environ[V2_RUNNER_ENV] = "0"

    def _get_worker_extension_cls(self) -> str:
        if self._harvest is None:
            return str(super()._get_worker_extension_cls())
        return f"{HarvestWorkerExtension.__module__}.{HarvestWorkerExtension.__qualname__}"

    def _preprocess_engine_kwargs(self, engine_kwargs: dict[str, Any]) -> None:
        """As verl's; vLLM then heeds the priority that reflections ask for.

        With equal priorities this is first come, first served. A policy that is named in
        `rollout.engine_kwargs.vllm` stays.
        """
        super()._preprocess_engine_kwargs(engine_kwargs)
        if self._harvest is not None and not engine_kwargs.keys() & POLICY_KEYS:
            engine_kwargs["scheduling_policy"] = "priority"

    async def run_server(self, args: argparse.Namespace) -> None:
        """Start the engine as verl does, then watch it and install the harvest."""
        cleanup = EngineCleanup()
        cleanup.redirect_temporary_files()
        await super().run_server(args)
        cleanup.claim_engine()
        self._watch = EngineWatch(self.engine, f"rollout replica {self.replica_rank}")
        self._first_tokens = FirstTokens(self.engine)
        if self._harvest is not None:
            self._inbox = await self._watch.unless_dead(self._install(self._harvest))

    async def _install(self, harvest: HarvestSettings) -> EmbeddingInbox:
        inbox = EmbeddingInbox()
        path = await inbox.listen()
        model = self.model_config
        pieces = vocab_bytes(model.tokenizer, end_token_ids(model.generation_config))
        await self.engine.collective_rpc(INSTALL, args=(harvest.to_mapping(), pieces, path))
        await inbox.close_door(self.config.data_parallel_size, _CONNECT_TIMEOUT_S)
        return inbox

    async def generate(
        self,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        request_id: str,
        *args: Any,
        **kwargs: Any,
    ) -> TokenOutput:
        """As verl's; where `sampling_params["care_harvest"]` asks for it, with the embedding.

        Then `extra_fields` holds `care_embedding` (float32 [H], zeros without a rationale) and
        `care_embedding_tokens`; an aborted request has neither. Where
        `sampling_params["care_time_limit_s"]` is set, the engine drops the request so many seconds
        after its first token, and the output is empty, with `stop_reason` "timeout". The wait in
        vLLM's queue is not counted.

        Raises:
            RolloutEngineDiedError: the engine is dead, or died meanwhile.
            HarvestLostError: the response came, but its embedding will not.
            ValueError: a malformed request, or one to a server without the harvest.
        """
        sampling_params = dict(sampling_params)
        limit_s = sampling_params.pop(TIME_LIMIT_KEY, None)
        work = self._generate(prompt_ids, sampling_params, request_id, *args, **kwargs)
        if limit_s is None:
            return await work
        try:
            return await self._first_tokens.limited(work, request_id, limit_s)
        except asyncio.TimeoutError:
            step = {"global_steps": self.global_steps}
            return TokenOutput(token_ids=[], stop_reason=TIMED_OUT, extra_fields=step)

    async def _generate(
        self,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        request_id: str,
        *args: Any,
        **kwargs: Any,
    ) -> TokenOutput:
        request = self._parse(sampling_params.pop(CUSTOM_KEY, False))
        if request is None:
            response = super().generate(prompt_ids, sampling_params, request_id, *args, **kwargs)
            return await self._watch.unless_dead(response)
        ticket = Ticket.draw(request.prefilled)
        extra_args = sampling_params.get("extra_args") or {}
        sampling_params["extra_args"] = {**extra_args, **ticket.as_extra_args()}
        self._inbox.expect(ticket)
        try:
            response = super().generate(prompt_ids, sampling_params, request_id, *args, **kwargs)
            output = await self._watch.unless_dead(response)
            if output.stop_reason != "aborted":
                arrival = self._inbox.receive(ticket, _ARRIVAL_TIMEOUT_S)
                harvested = await self._watch.unless_dead(arrival)
                output.extra_fields[EMBEDDING_FIELD] = harvested.embedding
                output.extra_fields[TOKENS_FIELD] = harvested.tokens
            return output
        finally:
            self._inbox.forget(ticket)

    def _parse(self, value: object) -> HarvestRequest | None:
        if self._harvest is not None:
            return HarvestRequest.parse(value, self._harvest)
        if value:
            raise ValueError(
                f"a request asks for a rationale embedding ({CUSTOM_KEY}), but this server does "
                f"not harvest; set rollout.custom.{CUSTOM_KEY} before it starts"
            )
        return None

    async def wait_until_dead(self) -> str:
        """Return, once the engine is dead, what to say about it (see `watchdog`)."""
        return await self._watch.died()
