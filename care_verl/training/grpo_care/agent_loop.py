"""GRPO-CARE's agent-loop worker: each row is scored, and its answer found, before it is put."""

from __future__ import annotations

from typing import Any

import ray
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ

from care_verl.algorithm import token_spans
from care_verl.training.chat_template import opens_rationale
from care_verl.training.grpo_care.step import GRPO_CARE, AnsweredRow, read_share
from care_verl.training.grpo_care.wiring import grpo_care_config
from care_verl.training.judged_row import read_reward, read_rule, response_logp, reward_name
from care_verl.training.run.agent_loop import Group, GroupWorker, prompt_name
from care_verl.training.run.seeding import SeededClient, Seeding


class GrpoCareAgentLoopWorker(GroupWorker):
    """Runs training prompts as groups, with the answer's place in each row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = grpo_care_config(self.config)
        self.llm_client = SeededClient(self.llm_client)
        self._seeding = Seeding.of(self.config, self.settings)

    def _new_group(self, uid: str, size: int) -> Group:
        return Group(uid, size)

    async def _settled(self, group: Group, output: AgentLoopOutput, fields: dict[str, Any]) -> None:
        await self._compute_score([output], kwargs=fields)
        output.extra_fields[GRPO_CARE] = self._answered(output, fields).to_mapping()
        await self._put(output, fields)

    def _answered(self, output: AgentLoopOutput, fields: dict[str, Any]) -> AnsweredRow:
        session = int(fields["session_id"])
        verdict = f"{reward_name(self.config)}, session {session} of {prompt_name(fields)}"
        pieces = [self._piece(token) for token in output.response_ids]
        prefilled = opens_rationale(self.tokenizer, output.prompt_ids, self.settings)
        decoded = output.response_logprobs
        return AnsweredRow(
            session=session,
            acc=read_share(output.extra_fields, verdict),
            reward=read_reward(output.reward_score, verdict),
            spans=token_spans(pieces, self.settings.tag_spec, prefilled),
            logp=None if decoded is None else response_logp(decoded, output.response_mask),
            rule=read_rule(output.extra_fields),
        )


class GrpoCareAgentLoopManager(AgentLoopManagerTQ):  # type: ignore[misc]
    """verl's manager with GRPO-CARE's workers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(GrpoCareAgentLoopWorker)
