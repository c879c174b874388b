"""What a session, a reward or a row that fails costs: its group, or the run.

On the workbench of `test_agent_loop`: decoding and scoring are scripted.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput

from care_verl.training.fields import (
    EMBEDDING,
)

from .samples import MemoryQueue, agent_output
from .workbench import (
    RIGHT,
    WRONG,
    ScriptedClient,
)


@pytest.mark.parametrize("when", [0.0, 0.02])
def test_a_failed_session_takes_its_whole_group_along(
    bench: Any, queue: MemoryQueue, when: float, caplog: pytest.LogCaptureFixture
) -> None:
    """It fails first, or last: then it is the one that settles the group."""
    work = bench([RIGHT, WRONG, ValueError("no response")], delays=[0.01, 0.01, when])
    work.run(data_source="charts", index=17)
    assert work.client.calls == []
    assert queue.rows == {}
    assert queue.events[-3:] == [("u_0_0", "cleared"), ("u_1_0", "cleared"), ("u", "failure")]
    cause = "session 2 of prompt u (data_source 'charts', index 17): ValueError: no response"
    assert queue.reports == {"u": cause}
    assert f"2 of 3 sessions settled well; {cause}" in caplog.text


def test_a_cancelled_session_takes_its_whole_group_along(bench: Any, queue: MemoryQueue) -> None:
    work = bench([RIGHT, WRONG, asyncio.CancelledError()])
    work.run()
    assert work.client.calls == []
    assert queue.rows == {}
    assert queue.reports == {"u": "a session was cancelled"}


def test_only_the_rows_of_the_failed_group_go(bench: Any, queue: MemoryQueue) -> None:
    bench([RIGHT, RIGHT]).run(uid="whole")
    bench([RIGHT, ValueError("no response")]).run(uid="who")
    assert sorted(queue.rows) == ["whole_0_0", "whole_1_0"]


def test_a_group_whose_sessions_all_failed(bench: Any, queue: MemoryQueue) -> None:
    work = bench([ValueError("one"), ValueError("two")])
    work.run()
    assert queue.events == [("u", "running"), ("u", "failure")]
    assert work.client.calls == []
    assert queue.reports == {"u": "session 0 of prompt u: ValueError: one"}


def test_a_reflection_that_fails_takes_its_group_along(
    bench: Any, queue: MemoryQueue, tokenizer: Any
) -> None:
    client = ScriptedClient(tokenizer, error=RuntimeError("a broken server"))
    work = bench([RIGHT, WRONG], client=client)
    work.run()
    assert queue.rows == {}
    assert queue.events[-1] == ("u", "failure")
    assert queue.reports == {"u": "the reflection of prompt u: RuntimeError: a broken server"}


@pytest.mark.parametrize("scored", [1, 3])
def test_a_row_without_a_finite_reward_takes_its_group_along(
    bench: Any, queue: MemoryQueue, scored: int
) -> None:
    """The first row that is scored, a session's, or the third, the reflection's."""
    work = bench([RIGHT, WRONG])
    plain, outputs = work.score, []

    def score(output: AgentLoopOutput) -> None:
        plain(output)
        outputs.append(output)
        if len(outputs) == scored:
            output.reward_score = float("nan")

    work.score = score
    work.run()
    assert queue.rows == {}
    assert queue.events[-1] == ("u", "failure")
    assert "reward manager None, session" in queue.reports["u"]
    assert "the reward is nan; expected a finite number" in queue.reports["u"]


@pytest.mark.parametrize("reported", [{}, {"acc": 0.5}])
def test_a_reward_that_never_fits_is_told_at_the_first_row(
    bench: Any, queue: MemoryQueue, reported: dict[str, float]
) -> None:
    """Session 1 has not settled yet."""
    work = bench([RIGHT, WRONG], delays=[0.0, 0.05])

    def score(output: AgentLoopOutput) -> None:
        output.reward_score = 1.0
        output.extra_fields["reward_extra_info"] = reported

    work.score = score
    work.run()
    assert queue.events[:2] == [("u", "running"), ("u", "ends the run")]
    assert "session 0 of prompt u: MisfitError: reward manager None" in queue.reports["u"]


@pytest.mark.parametrize("acc", [float("nan")])
def test_an_accuracy_that_is_nan_costs_its_group_only(
    bench: Any, queue: MemoryQueue, acc: float
) -> None:
    work = bench([RIGHT, WRONG])

    def score(output: AgentLoopOutput) -> None:
        output.reward_score = 1.0
        output.extra_fields["reward_extra_info"] = {"acc": acc}

    work.score = score
    work.run()
    assert ("u", "ends the run") not in queue.events
    assert "acc is nan" in queue.reports["u"]


@pytest.mark.parametrize("good", [None, 3])
def test_a_reward_that_fails_for_the_first_prompts_ends_the_run(
    bench: Any, queue: MemoryQueue, good: int | None
) -> None:
    """Prompts 0 to 8, one after the other; where one has a good row, the others cost themselves."""
    work = bench([WRONG, WRONG])

    def score(output: AgentLoopOutput) -> None:
        if prompt != good:
            raise TypeError("score() got an unexpected keyword argument")
        output.reward_score = 0.0
        output.extra_fields["reward_extra_info"] = {"acc": 0.0}

    work.score = score
    for prompt in range(9):
        work.run(uid=str(prompt))
    ends = [uid for uid, event in queue.events if event == "ends the run"]
    if good is not None:
        assert ends == []
        return
    assert ends[0] == "7"
    assert "no row of the first 8 prompts could be used; TypeError: score()" in queue.reports["7"]


def test_sessions_that_fail_before_they_are_decoded_do_not_end_the_run(
    bench: Any, queue: MemoryQueue
) -> None:
    """Broken images fail at once, before the first good row can be."""
    work = bench([OSError("truncated"), OSError("truncated")])
    for prompt in range(20):
        work.run(uid=str(prompt))
    assert not [uid for uid, event in queue.events if event == "ends the run"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"agent_name": "tool_agent"}, "agent_name = 'tool_agent'"),
        ({"tools_kwargs": {"calculator": {"create_kwargs": {}}}}, "tools_kwargs for calculator"),
        ({"extra_info": {"interaction_kwargs": {"name": "gsm8k"}}}, "interaction_kwargs for name"),
    ],
)
def test_a_row_for_an_agent_with_tools_ends_the_run(
    bench: Any, queue: MemoryQueue, fields: dict[str, Any], named: str
) -> None:
    work = bench([RIGHT, WRONG])
    work.run(**fields)
    assert work.session_params == []
    assert queue.events[1] == ("u", "ends the run")
    assert f"MisfitError: the row has {named}; rows of several turns" in queue.reports["u"]


def test_rows_without_tools_pass_whatever_columns_they_have(bench: Any, queue: MemoryQueue) -> None:
    """verl gives every row the fields; Parquet every struct the keys of all rows."""
    none = {"tools_kwargs": {}, "interaction_kwargs": {}}
    bench([RIGHT, RIGHT]).run(**none, extra_info={"tools_kwargs": {"calculator": None}})
    assert queue.events[-1] == ("u", "finished")


def test_a_loop_with_several_outputs_is_refused(
    bench: Any, queue: MemoryQueue, caplog: pytest.LogCaptureFixture
) -> None:
    work = bench([RIGHT])
    work.session_output = lambda session: [agent_output([1]), agent_output([2])]
    work.run()
    assert queue.events[-1] == ("u", "failure")
    assert "returned 2 outputs for one session" in caplog.text


def test_a_response_without_embedding_is_refused(
    bench: Any, queue: MemoryQueue, caplog: pytest.LogCaptureFixture
) -> None:
    work = bench([RIGHT])
    work.session_output = lambda session: agent_output([1])
    work.run()
    assert queue.events[-1] == ("u", "failure")
    assert "does not harvest" in caplog.text


@pytest.mark.parametrize("mode", ["cue", "off"])
def test_an_embedding_that_is_not_finite_costs_its_group(
    bench: Any, queue: MemoryQueue, mode: str
) -> None:
    """In every mode before a row of its session is published, and with its name."""
    work = bench([RIGHT, WRONG], care={"rgr": {"mode": mode}})
    whole = work.session_output

    def second_is_nan(session: int) -> AgentLoopOutput:
        output = whole(session)
        if session == 1:
            output.extra_fields[EMBEDDING] = [float("nan"), 0.0]
        return output

    work.session_output = second_is_nan
    work.run()
    assert queue.events[-1] == ("u", "failure")
    assert queue.rows == {}
    (cause,) = queue.reports.values()
    assert "NoEmbeddingError: session 1: the rationale embedding holds NaN" in cause
