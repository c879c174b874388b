"""What GRPO-CARE's agent loop reads from a response, and the rows that it puts in the queue."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput

from care_verl.algorithm import token_spans
from care_verl.grammar import TagSpec
from care_verl.methods.grpo_care import GRPO_CARE
from care_verl.training.grpo_care.agent_loop import GrpoCareAgentLoopWorker
from care_verl.training.grpo_care.step import answer_of
from care_verl.training.judged_row import JudgedRow, read_share
from care_verl.training.run.agent_loop import GroupWorker
from care_verl.training.run.misfit import MisfitError

from .samples import MALFORMED, WELL_FORMED, MemoryQueue, agent_output

RIGHT = "<think>red3 blue5</think><answer>8</answer><|im_end|>"
WRONG = "<think>red3 blue6</think><answer>9</answer><|im_end|>"
Script = Sequence[str | Exception]


@pytest.mark.parametrize(
    ("pieces", "carrying"),
    [
        (WELL_FORMED, (5, 6)),
        # As Qwen's vocabulary may cut `<answer>A</answer>`: the letter shares a token with a tag.
        ((b"<", b"answer", b">A", b"</", b"answer", b">", b""), (2, 3)),
        ((b"<answer>", b"4", b"2</", b"answer>"), (1, 3)),
        ((b"<answer>8</answer>",), (0, 1)),
        ((b"<answer>", b"4", b"2", b""), (1, 3)),
        ((b"<answer></", b"answer>"), None),
        ((b"<answer>", b""), None),
        (MALFORMED, None),
        ((b"<answer>1</answer>", b"<answer>", b"2", b"</answer>"), (2, 3)),
    ],
)
def test_tokens_that_carry_an_answer(
    pieces: Sequence[bytes], carrying: tuple[int, int] | None
) -> None:
    row = JudgedRow(session=0, acc=1, reward=1, logp=None, spans=token_spans(pieces, TagSpec()))
    assert answer_of(row) == carrying


@pytest.mark.parametrize("acc", [0, 1, 0.25, True, np.float32(0.25), np.int64(1), np.bool_(True)])
def test_accuracies_may_be_partial(acc: Any) -> None:
    assert type(read_share({"reward_extra_info": {"acc": acc}}, "a reward")) is float
    assert read_share({"reward_extra_info": {"acc": acc}}, "a reward") == acc


@pytest.mark.parametrize("acc", [1.5, -0.1, math.nan, "1", None])
def test_other_accuracies_are_refused(acc: Any) -> None:
    message = r"a reward: acc is .* expected a number from 0 to 1"
    with pytest.raises(ValueError, match=message) as refusal:
        read_share({"reward_extra_info": {"acc": acc}}, "a reward")
    assert isinstance(refusal.value, MisfitError) == (acc is not math.nan)


@pytest.fixture
def rollout(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any, queue: MemoryQueue
) -> Callable[[Script], GrpoCareAgentLoopWorker]:
    """A function: what the sessions of one prompt decode -> their worker, which has run them."""
    base: Any = GroupWorker.__mro__[1]

    def run(script: Script) -> GrpoCareAgentLoopWorker:
        async def run_agent_loop(
            worker: Any, sampling_params: dict[str, Any], trajectory: dict[str, Any], **kwargs: Any
        ) -> None:
            worker.asked.append(sampling_params)
            del kwargs["trace"]
            decoded = script[kwargs["session_id"]]
            if isinstance(decoded, Exception):
                raise decoded
            output = agent_output(tokenizer.encode(decoded))
            await worker._agent_loop_postprocess(output, trajectory["validate"], **kwargs)

        async def compute_score(
            worker: Any, outputs: list[AgentLoopOutput], kwargs: dict[str, Any]
        ) -> None:
            if outputs[-1].reward_score is None:
                acc = float("<answer>8" in tokenizer.decode(outputs[-1].response_ids))
                outputs[-1].reward_score = acc
                outputs[-1].extra_fields["reward_extra_info"] = {"acc": acc, "rule": "number"}

        def construct(worker: Any) -> None:
            settings = {"n": len(script), "val_kwargs": {"n": len(script)}, "seed": 7}
            worker.config = OmegaConf.create(
                {
                    "actor_rollout_ref": {"rollout": settings},
                    "algorithm": {"adv_estimator": "grpo_care", "grpo_care": {"seeded": True}},
                }
            )
            worker.tokenizer, worker.processor = tokenizer, None
            worker.model_config = SimpleNamespace(
                generation_config=SimpleNamespace(eos_token_id=None)
            )
            worker.llm_client, worker.distillation_enabled, worker.asked = None, False, []

        monkeypatch.setattr(base, "_run_agent_loop", run_agent_loop)
        monkeypatch.setattr(base, "_compute_score", compute_score)
        monkeypatch.setattr(base, "__init__", construct)
        worker = GrpoCareAgentLoopWorker()
        prompt = {"uid": "u", "global_steps": 4, "agent_name": "single_turn_agent"}
        asyncio.run(worker._run_prompt(prompt, {"temperature": 1.0}, {"validate": False}))
        return worker

    return run


def test_rows_carry_their_accuracy_and_where_their_answer_is(
    rollout: Callable[[Script], Any], queue: MemoryQueue
) -> None:
    """`<think>`, red, 3, blue, 5, `</think>`, `<answer>`, 8, `</answer>`, end: 8 is at 7."""
    worker = rollout([RIGHT, WRONG, "no tags"])
    rows = [
        JudgedRow.from_mapping(queue.rows[f"u_{i}_0"]["extra_fields"][GRPO_CARE.name])
        for i in range(3)
    ]
    found = [(row.session, row.acc, row.reward, answer_of(row), row.rule) for row in rows]
    assert found[:2] == [(0, 1.0, 1.0, (7, 8), "number"), (1, 0.0, 0.0, (7, 8), "number")]
    assert rows[0].spans.rationale == (1, 5)
    # Each token of `agent_output` has -0.5.
    assert rows[0].logp == -0.5 * len(queue.rows["u_0_0"]["responses"])
    assert (answer_of(rows[2]), rows[2].spans.rationale) == (None, None)
    assert queue.events[-1] == ("u", "finished")
    assert len({params["seed"] for params in worker.asked}) == 3
    assert all("care_harvest" not in params for params in worker.asked)


def test_a_group_that_lost_a_session_is_discarded_whole(
    rollout: Callable[[Script], Any], queue: MemoryQueue
) -> None:
    rollout([RIGHT, ValueError("no response")])
    assert queue.rows == {}
    assert queue.reports == {"u": "session 1 of prompt u: ValueError: no response"}
