"""The agent-loop worker of a method that needs no more of its rollouts than their verdicts.

Each row is scored, and its answer found, before it is put into the queue.
"""

from __future__ import annotations

from typing import Any, ClassVar

import ray
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ

from care_verl.algorithm import token_spans
from care_verl.methods import Method
from care_verl.training.chat_template import opens_rationale
from care_verl.training.judged_row import (
    JudgedRow,
    read_accuracy,
    read_reward,
    read_rule,
    read_share,
    response_logp,
    reward_name,
)
from care_verl.training.run.agent_loop import Group, GroupWorker, prompt_name
from care_verl.training.run.seeding import SeededClient, Seeding
from care_verl.training.wiring import loaded


class JudgingWorker(GroupWorker):
    """Runs training prompts as groups; a `JudgedRow` stands in `extra_fields` under the method's
    name. Subclasses name the method.
    """

    method: ClassVar[Method]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = loaded(self.method).settings_of(self.config)
        self.llm_client = SeededClient(self.llm_client)
        self._seeding = Seeding.of(self.config, self.settings)

    def _new_group(self, uid: str, size: int) -> Group:
        return Group(uid, size)

    async def _settled(self, group: Group, output: AgentLoopOutput, fields: dict[str, Any]) -> None:
        await self._compute_score([output], kwargs=fields)
        output.extra_fields[self.method.name] = self._judged(output, fields).to_mapping()
        await self._put(output, fields)

    def _judged(self, output: AgentLoopOutput, fields: dict[str, Any]) -> JudgedRow:
        session, tags = int(fields["session_id"]), self.settings.tags
        verdict = f"{reward_name(self.config)}, session {session} of {prompt_name(fields)}"
        pieces = [self._piece(token) for token in output.response_ids]
        prefilled = opens_rationale(self.tokenizer, output.prompt_ids, tags)
        decoded = output.response_logprobs
        accuracy = read_share if self.method.graded else read_accuracy
        return JudgedRow(
            session=session,
            acc=accuracy(output.extra_fields, verdict),
            reward=read_reward(output.reward_score, verdict),
            spans=token_spans(pieces, tags.tag_spec, prefilled),
            logp=None if decoded is None else response_logp(decoded, output.response_mask),
            rule=read_rule(output.extra_fields),
        )


class RunAgentLoopManager(AgentLoopManagerTQ):  # type: ignore[misc]
    """verl's manager with the workers that a subclass names."""

    worker_class: ClassVar[type[GroupWorker]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(self.worker_class)
