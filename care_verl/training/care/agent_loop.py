"""CARE's agent-loop worker: groups with the group stage before a prompt is published."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import transfer_queue as tq
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput

from care_verl.algorithm import token_spans
from care_verl.algorithm.groups import ORIGINAL
from care_verl.common.logs import logger_of
from care_verl.platform.places import BUFFER, QUEUE_MANAGER, QUEUE_WORKER, WORKER
from care_verl.platform.seam import Seam
from care_verl.training.care.group_stage import PromptGroup, Session, reflected_output
from care_verl.training.care.harvesting import HarvestingClient
from care_verl.training.care.reflection_prompts import ReflectionPrompts
from care_verl.training.care.row import CareRow, as_embedding
from care_verl.training.care.wiring import care_config
from care_verl.training.chat_template import opens_rationale
from care_verl.training.fields import (
    CARE,
    EMBEDDING,
    HARVEST,
    RGR_SKIPPED,
    TIME_LIMIT,
    TIMED_OUT,
)
from care_verl.training.judged_row import (
    read_accuracy,
    read_reward,
    read_rule,
    response_logp,
    reward_name,
)
from care_verl.training.run.agent_loop import GroupWorker, prompt_name
from care_verl.training.run.failures import one_line
from care_verl.training.run.judging import RunAgentLoopManager
from care_verl.training.run.seeding import Seeding

logger = logger_of(__name__)

FIRST = -1
"""Priority of a reflection in vLLM's queue. Rollouts have 0; a lower number is served before."""


RELIES_ON = (
    Seam(
        f"{QUEUE_MANAGER}.__init__",
        "the manager names its worker class",
        "self.agent_loop_workers_class = AgentLoopWorkerTQ",
        "super().__init__(*args, **kwargs)",
    ),
    Seam(
        "verl.experimental.agent_loop.agent_loop:AgentLoopManager._init_agent_loop_workers",
        "the manager starts the class that it names",
        "self.agent_loop_workers = []",
        "self.agent_loop_workers_class.options(",
    ),
    Seam(
        f"{WORKER}._compute_score",
        "a scored output is left alone",
        "if final_output.reward_score is None and enable_async_reward",
        "self._compute_multi_modal_inputs(output, input_ids)",
        'final_output.reward_score = result["reward_score"]',
        'final_output.extra_fields["reward_extra_info"] = result["reward_extra_info"]',
    ),
    Seam(
        f"{QUEUE_WORKER}._compute_score",
        "agent_loop._compute_score",
        parameters="self, outputs, kwargs",
    ),
    Seam(
        "verl.workers.rollout.llm_server:LLMServerClient.generate",
        "a client hands a priority on",
        'priority = kwargs.pop("priority", 0)',
        "**priority_kwargs,",
    ),
    Seam(
        f"{BUFFER}._sync_metadata_from_transfer_queue",
        "tags of a row are merged",
        "partition[key].update(tag)",
    ),
)


class CareAgentLoopWorker(GroupWorker):
    """Runs the sessions of training prompts with harvest and group stage."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.care = care_config(self.config)
        self._reflection = ReflectionPrompts(self.tokenizer, self.processor, self.care, self._vocab)
        self.llm_client = HarvestingClient(self.llm_client, self._opens_rationale)
        self._seeding = Seeding.of(self.config, self.care)

    def _opens_rationale(self, prompt_ids: Sequence[int]) -> bool:
        return opens_rationale(self.tokenizer, prompt_ids, self.care.regions)

    def _new_group(self, uid: str, size: int) -> PromptGroup:
        return PromptGroup(uid, size)

    def _rollout_params(self, sampling_params: dict[str, Any]) -> dict[str, Any]:
        return {**sampling_params, HARVEST: True}

    async def _settled(
        self, group: PromptGroup, output: AgentLoopOutput, fields: dict[str, Any]
    ) -> None:
        embedding = as_embedding(output.extra_fields.get(EMBEDDING), int(fields["session_id"]))
        record = await self._publish(output, fields, ORIGINAL)
        group.sessions.append(Session(output, fields, record, embedding))

    async def _complete(self, group: PromptGroup, sampling_params: dict[str, Any]) -> None:
        try:
            await self._reflect(group, sampling_params)
        except Exception as error:
            prompt = prompt_name(group.sessions[0].fields)
            group.failures.append(f"the reflection of {prompt}: {one_line(error)}")
            raise

    async def _publish(
        self, output: AgentLoopOutput, fields: dict[str, Any], reflected_from: int
    ) -> CareRow:
        """Score a row, attach its record and put it into the queue."""
        await self._compute_score([output], kwargs=fields)
        record = self._record(output, fields, reflected_from)
        output.extra_fields[CARE] = record.to_mapping()
        await self._put(output, fields)
        return record

    def _record(
        self, output: AgentLoopOutput, fields: dict[str, Any], reflected_from: int
    ) -> CareRow:
        session = int(fields["session_id"])
        verdict = f"{reward_name(self.config)}, session {session} of {prompt_name(fields)}"
        prefilled = self._opens_rationale(output.prompt_ids)
        pieces = [self._piece(token) for token in output.response_ids]
        return CareRow(
            session=session,
            acc=read_accuracy(output.extra_fields, verdict),
            rule=read_rule(output.extra_fields),
            reward=read_reward(output.reward_score, verdict),
            spans=token_spans(pieces, self.care.regions.tag_spec, prefilled),
            logp=response_logp(output.response_logprobs, output.response_mask),
            reflected_from=reflected_from,
            images=len((output.multi_modal_data or {}).get("images") or ()),
        )

    async def _reflect(self, group: PromptGroup, sampling_params: dict[str, Any]) -> None:
        """RGR: decode the group's source once more and publish the row (Section 3.6)."""
        if self.care.rgr.mode == "off":
            return
        plan, sessions = group.plan(self.care)
        if plan.source is None:
            return
        source = sessions[plan.source]
        room = self.config.actor_rollout_ref.rollout.response_length
        prefilled = self._opens_rationale(source.output.prompt_ids)
        built = self._reflection.prefix(source.output, prefilled, room)
        if built.ids is None:
            await self._note_skipped(group, source, str(built.reason))
            return
        prefix = built.ids
        seeded = self._seeding.reflection(sampling_params, group.uid)
        began = time.monotonic()
        decoded = await self._decode(source.output, prefix, seeded, room - len(prefix))
        seconds = time.monotonic() - began
        if not decoded.token_ids:
            reason = "timeout" if decoded.stop_reason == TIMED_OUT else "aborted"
            await self._note_skipped(group, source, reason)
            return
        reflected = reflected_output(source.output, prefix, decoded, room, seconds)
        fields = {**source.fields, "session_id": group.size}
        await self._publish(reflected, fields, source.record.session)

    async def _decode(
        self,
        source: AgentLoopOutput,
        prefix: list[int],
        sampling_params: dict[str, Any],
        max_tokens: int,
    ) -> Any:
        # The server's own default counts prompt and response together, and the prefix is in the
        # prompt here.
        media = source.multi_modal_data or {}
        return await self.llm_client.generate(
            request_id=uuid4().hex,
            prompt_ids=list(source.prompt_ids) + prefix,
            sampling_params={
                **sampling_params,
                "max_tokens": max_tokens,
                TIME_LIMIT: self.care.rgr.limit_s(max_tokens),
            },
            priority=FIRST,
            image_data=media.get("images"),
            video_data=media.get("videos"),
            audio_data=media.get("audios"),
            mm_processor_kwargs=source.mm_processor_kwargs,
        )

    async def _note_skipped(self, group: PromptGroup, source: Session, reason: str) -> None:
        """Leave the reason on the source's row, where the trainer counts it."""
        logger.info("RGR skipped for group %s: %s", group.uid, reason)
        await tq.async_kv_put(
            key=f"{group.uid}_{source.record.session}_0",
            partition_id="train",
            tag={RGR_SKIPPED: reason},
        )


class CareAgentLoopManager(RunAgentLoopManager):
    """verl's manager with CARE's workers."""

    worker_class = CareAgentLoopWorker
