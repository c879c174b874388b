"""The group stage: what happens between a prompt's last rollout and its publication.

The sessions of a prompt settle in any order. When the last one has, the group is planned and one
hard negative may be decoded again (RGR), while other prompts are still decoding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput
from verl.workers.rollout.replica import TokenOutput

from care_verl.algorithm import CareConfig, GroupPlan, plan_group
from care_verl.platform.seam import Seam
from care_verl.training.care.row import CareRow
from care_verl.training.fields import CARE, EMBEDDING, EMBEDDING_TOKENS
from care_verl.training.run.agent_loop import Group

RELIES_ON = (
    Seam(
        "verl.experimental.agent_loop.agent_loop:AgentLoopOutput.as_dict",
        "rows share columns by what was set",
        "self.model_dump(exclude_unset=True)",
        'output["rollout_log_probs"]',
    ),
)


@dataclass(frozen=True)
class Session:
    """One finished rollout of a group: its output, the dataset's fields, record and embedding."""

    output: AgentLoopOutput
    fields: dict[str, Any]
    record: CareRow
    embedding: np.ndarray


@dataclass
class PromptGroup(Group):
    """A group that may be planned: with its scored sessions."""

    sessions: list[Session] = field(default_factory=list)

    def in_order(self) -> list[Session]:
        """The scored sessions by session number: the order that ties are broken in."""
        return sorted(self.sessions, key=lambda session: session.record.session)

    def plan(self, config: CareConfig) -> tuple[GroupPlan, list[Session]]:
        """The group's plan and the sessions that its indices point into."""
        sessions = self.in_order()
        records = [session.record for session in sessions]
        plan = plan_group(
            acc=torch.tensor([record.acc for record in records], dtype=torch.float64),
            think_len=torch.tensor([record.spans.think_len for record in records]),
            answer_len=torch.tensor([record.spans.answer_len for record in records]),
            embedding=torch.from_numpy(np.stack([session.embedding for session in sessions])),
            uid=self.uid,
            config=config,
            reasoned=torch.tensor([record.spans.reasoned for record in records]),
        )
        return plan, sessions


def reflected_output(
    source: AgentLoopOutput,
    prefix: list[int],
    decoded: TokenOutput,
    response_length: int,
    seconds: float,
) -> AgentLoopOutput:
    """The reflected row: the source's prompt, the copied prefix (untrained), the new tokens.

    `seconds` is how long these took. Fields are those of the source, so that both rows have the
    same columns in the queue.
    """
    new = decoded.token_ids[: response_length - len(prefix)]
    log_probs = None
    if source.response_logprobs is not None:
        log_probs = [0.0] * len(prefix) + list((decoded.log_probs or [])[: len(new)])
    harvested = (CARE, EMBEDDING, EMBEDDING_TOKENS)
    extra = {key: value for key, value in source.extra_fields.items() if key not in harvested}
    extra.update(decoded.extra_fields)
    extra.pop("reward_extra_info", None)
    return source.model_copy(
        update={
            "response_ids": prefix + new,
            "response_mask": [0] * len(prefix) + [1] * len(new),
            "response_logprobs": log_probs,
            "reward_score": None,
            "metrics": AgentLoopMetrics(generate_sequences=seconds),
            "extra_fields": extra,
        }
    )
