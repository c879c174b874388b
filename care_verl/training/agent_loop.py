"""CARE's agent-loop worker: verl's, with the group stage before a prompt is published.

verl publishes a prompt as finished once every session has returned. The last session to settle
therefore runs the group stage before it returns, and the trainer never sees half a group.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import ray
import transfer_queue as tq
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ

from care_verl.algorithm import token_spans
from care_verl.logs import logger_of
from care_verl.training.activation import require_active
from care_verl.training.configuration import care_config
from care_verl.training.failures import discard_group, one_line
from care_verl.training.fields import (
    CARE,
    EMBEDDING,
    HARVEST,
    RGR_SKIPPED,
    TIME_LIMIT,
    TIMED_OUT,
)
from care_verl.training.group_stage import PromptGroup, Session, reflected_output
from care_verl.training.harvesting import HarvestingClient
from care_verl.training.media_cache import MediaCache
from care_verl.training.prompts import opens_rationale
from care_verl.training.records import (
    ORIGINAL,
    RowRecord,
    as_embedding,
    read_accuracy,
    read_reward,
    read_rule,
    response_logp,
    reward_name,
)
from care_verl.training.reflection import ReflectionPrompts
from care_verl.training.seeding import Seeding
from care_verl.vocabulary import end_token_ids, vocab_bytes

logger = logger_of(__name__)

# Ray forbids to subclass an actor class; the plain class stands behind it.
_WorkerBase: Any = AgentLoopWorkerTQ.__ray_metadata__.modified_class.__ray_actor_class__


class CareAgentLoopWorker(_WorkerBase):  # type: ignore[misc]
    """Runs the sessions of training prompts with harvest and group stage; validation as verl."""

    llm_client: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        require_active("an agent-loop worker")
        super().__init__(*args, **kwargs)
        self.care = care_config(self.config)
        self._reflection = ReflectionPrompts(self.tokenizer, self.processor, self.care)
        self._vocab = vocab_bytes(
            self.tokenizer, end_token_ids(self.model_config.generation_config)
        )
        self.llm_client = HarvestingClient(self.llm_client, self._opens_rationale)
        self._groups: dict[str, PromptGroup] = {}
        self._media = MediaCache()
        self._seeding = Seeding.of(self.config, self.care)

    def _opens_rationale(self, prompt_ids: Sequence[int]) -> bool:
        return opens_rationale(self.tokenizer, prompt_ids, self.care.regions)

    def _compute_multi_modal_inputs(self, output: AgentLoopOutput, input_ids: Any) -> Any:
        compute = super()._compute_multi_modal_inputs
        if not hasattr(self.processor, "get_rope_index"):
            # verl then leaves per-token outputs in the result, which are the row's own.
            return compute(output, input_ids)
        return self._media.get(output.multi_modal_data, lambda: compute(output, input_ids))

    async def _run_prompt(
        self,
        prompt: dict[str, Any],
        sampling_params: dict[str, Any],
        trajectory: dict[str, Any],
        trace: bool = False,
    ) -> None:
        if trajectory["validate"]:
            await super()._run_prompt(prompt, sampling_params, trajectory, trace)
            return
        uid = prompt["uid"]
        size = int(prompt.get("__rollout_n__", self.config.actor_rollout_ref.rollout.n))
        self._groups[uid] = PromptGroup(uid, size)
        try:
            await super()._run_prompt(prompt, sampling_params, trajectory, trace)
        finally:
            del self._groups[uid]

    async def _run_agent_loop(
        self, sampling_params: dict[str, Any], trajectory: dict[str, Any], **kwargs: Any
    ) -> None:
        group = self._groups.get(kwargs["uid"])
        if group is None:
            seeded = self._seeding.validation(sampling_params, trajectory, kwargs)
            await super()._run_agent_loop(seeded, trajectory, **kwargs)
            return
        try:
            seeded = self._seeding.rollout(sampling_params, group.uid, kwargs["session_id"])
            harvesting = {**seeded, HARVEST: True}
            await super()._run_agent_loop(harvesting, trajectory, **kwargs)
        except Exception as error:
            failed = f"session {kwargs['session_id']} of {_prompt(kwargs)}"
            group.failures.append(f"{failed}: {one_line(error)}")
            raise
        finally:
            if group.settle():
                await self._close(group, sampling_params)

    async def _close(self, group: PromptGroup, sampling_params: dict[str, Any]) -> None:
        """Every session has settled: reflect on a whole group, discard one that is not."""
        if len(group.sessions) < group.size and not group.failures:
            group.failures.append("a session was cancelled")
        try:
            if not group.failures:
                await self._reflect(group, sampling_params)
        except Exception as error:
            prompt = _prompt(group.sessions[0].fields)
            group.failures.append(f"the reflection of {prompt}: {one_line(error)}")
            raise
        finally:
            if group.failures:
                cause = group.failures[0]
                logger.error(
                    "group discarded, %d of %d sessions settled well; %s",
                    len(group.sessions),
                    group.size,
                    cause,
                )
                await discard_group(group.uid, cause)

    async def _agent_loop_postprocess(
        self, output: AgentLoopOutput | list[AgentLoopOutput], validate: bool, **kwargs: Any
    ) -> None:
        group = None if validate else self._groups.get(kwargs["uid"])
        if group is None:
            await super()._agent_loop_postprocess(output, validate, **kwargs)
            return
        output = _single(output)
        session = int(kwargs["session_id"])
        embedding = as_embedding(output.extra_fields.get(EMBEDDING), session)
        record = await self._publish(output, kwargs, ORIGINAL)
        group.sessions.append(Session(output, kwargs, record, embedding))

    async def _publish(
        self, output: AgentLoopOutput, fields: dict[str, Any], reflected_from: int
    ) -> RowRecord:
        """Score a row, attach its record and put it into the queue."""
        await self._compute_score([output], kwargs=fields)
        record = self._record(output, fields, reflected_from)
        output.extra_fields[CARE] = record.to_mapping()
        await super()._agent_loop_postprocess(output, False, **fields)
        return record

    def _record(
        self, output: AgentLoopOutput, fields: dict[str, Any], reflected_from: int
    ) -> RowRecord:
        session = int(fields["session_id"])
        verdict = f"{reward_name(self.config)}, session {session} of {_prompt(fields)}"
        prefilled = self._opens_rationale(output.prompt_ids)
        pieces = [self._piece(token) for token in output.response_ids]
        return RowRecord(
            session=session,
            acc=read_accuracy(output.extra_fields, verdict),
            rule=read_rule(output.extra_fields),
            reward=read_reward(output.reward_score, verdict),
            spans=token_spans(pieces, self.care.regions.tag_spec, prefilled),
            logp=response_logp(output.response_logprobs, output.response_mask),
            reflected_from=reflected_from,
            images=len((output.multi_modal_data or {}).get("images") or ()),
        )

    def _piece(self, token: int) -> bytes:
        """A token's bytes; a model's vocabulary may be padded beyond its tokenizer's."""
        return self._vocab[token] if token < len(self._vocab) else b""

    async def _reflect(self, group: PromptGroup, sampling_params: dict[str, Any]) -> None:
        """RGR: decode the group's source once more and publish the row (Section 3.6)."""
        if self.care.rgr.mode == "off":
            return
        plan, sessions = group.plan(self.care)
        if plan.source is None:
            return
        source = sessions[plan.source]
        room = self.config.actor_rollout_ref.rollout.response_length
        built = self._reflection.prefix(source.output, source.record.spans, room)
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
                TIME_LIMIT: self.care.rgr.timeout_s,
            },
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


def _prompt(fields: Mapping[str, Any]) -> str:
    """A prompt for messages: its id in the queue and where the row comes from."""
    known = [f"{name} {fields[name]!r}" for name in ("data_source", "index") if name in fields]
    return f"prompt {fields['uid']} ({', '.join(known)})" if known else f"prompt {fields['uid']}"


def _single(output: AgentLoopOutput | list[AgentLoopOutput]) -> AgentLoopOutput:
    """The one output of a session. Raises ValueError for loops that return several."""
    if not isinstance(output, list):
        return output
    if len(output) != 1:
        raise ValueError(
            f"the agent loop returned {len(output)} outputs for one session; CARE compares whole "
            "responses and needs one (rollout.agent.default_agent_loop=single_turn_agent)"
        )
    return output[0]


class CareAgentLoopManager(AgentLoopManagerTQ):  # type: ignore[misc]
    """verl's manager with CARE's workers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(CareAgentLoopWorker)
