"""The group stage inside verl's own `_run_prompt`, on one event loop and a queue in memory.

Decoding and scoring are scripted. That a real server decodes the same request, and that real
workers reach the real queue, is shown end to end.
"""

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
    HARVEST,
    RGR_SKIPPED,
    TIME_LIMIT,
    TIMED_OUT,
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


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tokenizer: Any, queue: MemoryQueue) -> Any:
    """A function: script -> workbench."""

    def build(script: Script, **options: Any) -> Workbench:
        return Workbench(monkeypatch, tokenizer, script, **options)

    return build


def reflected_from(queue: MemoryQueue, key: str) -> int:
    return int(queue.rows[key]["extra_fields"][CARE]["reflected_from"])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_last_session_triggers_one_reflection(
    bench: Any, queue: MemoryQueue, order: tuple[int, ...]
) -> None:
    delays = [0.01 * order.index(session) for session in range(3)]
    work = bench([RIGHT, WRONG, WRONG], delays=delays)
    work.run()
    assert len(work.client.calls) == 1
    assert queue.events == [
        ("u", "running"),
        *((f"u_{session}_0", "row") for session in order),
        ("u_3_0", "row"),
        ("u", "finished"),
    ]
    assert [reflected_from(queue, f"u_{i}_0") for i in range(4)] == [-1, -1, -1, 1]
    assert {queue.tags[f"u_{i}_0"]["in"] for i in range(4)} == {"train"}


def test_the_reflection_continues_the_failed_rationale(
    bench: Any, queue: MemoryQueue, tokenizer: Any
) -> None:
    work = bench([RIGHT, WRONG])
    work.run()
    (request,) = work.client.calls
    prefix = request["prompt_ids"][2:]
    assert request["prompt_ids"][:2] == [50, 51]
    assert tokenizer.decode(prefix).startswith("<think>red3 blue6\nYour previous reasoning")
    assert request["image_data"] == ["an image"]
    assert request["sampling_params"] == {
        "temperature": 1.0,
        "logprobs": True,
        "max_tokens": RESPONSE_LENGTH - len(prefix),
        TIME_LIMIT: 300.0,
    }
    row, new = queue.rows["u_2_0"], len(tokenizer.encode(REPAIRED))
    assert row["response_mask"].tolist() == [0] * len(prefix) + [1] * new
    assert row["responses"].tolist() == prefix + tokenizer.encode(REPAIRED)
    note = row["extra_fields"][CARE]
    assert (note["session"], note["acc"], note["reward"]) == (2, 1.0, 1.0)
    assert note["logp"] == pytest.approx(-0.25 * new)
    assert row["rm_scores"].sum() == 1.0


def test_a_row_carries_its_record(bench: Any, queue: MemoryQueue) -> None:
    """`<think>`, red, 3, blue, 5, `</think>`, `<answer>`, 8, `</answer>`, end: ten tokens."""
    work = bench([RIGHT, RIGHT])
    work.run()
    note = queue.rows["u_1_0"]["extra_fields"][CARE]
    assert (note["session"], note["acc"], note["reflected_from"]) == (1, 1.0, -1)
    assert note["logp"] == pytest.approx(-5.0)
    assert tuple(note["spans"]["rationale"]) == (1, 5)
    assert tuple(note["spans"]["answer"]) == (7, 8)
    assert note["spans"]["end"] == 9


def test_sessions_ask_for_their_embedding(bench: Any) -> None:
    work = bench([RIGHT, WRONG])
    work.run()
    assert [params[HARVEST] for params in work.session_params] == [True, True]


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


@pytest.mark.parametrize("text", [RIGHT, WRONG])
def test_groups_of_one_kind_get_no_reflection(bench: Any, queue: MemoryQueue, text: str) -> None:
    work = bench([text, text])
    work.run()
    assert work.client.calls == []
    assert sorted(queue.rows) == ["u_0_0", "u_1_0"]
    assert not any(RGR_SKIPPED in tag for tag in queue.tags.values())
    assert queue.events[-1] == ("u", "finished")


def test_no_reflection_when_it_is_switched_off(bench: Any, queue: MemoryQueue) -> None:
    work = bench([RIGHT, WRONG], care={"rgr": {"mode": "off"}})
    work.run()
    assert work.client.calls == []
    assert not any(RGR_SKIPPED in tag for tag in queue.tags.values())


def test_no_room_is_noted_on_the_source(bench: Any, queue: MemoryQueue) -> None:
    work = bench([RIGHT, WRONG], care={"rgr": {"min_new_tokens": RESPONSE_LENGTH}})
    work.run()
    assert work.client.calls == []
    assert queue.tags["u_1_0"][RGR_SKIPPED] == "no_room"
    assert queue.tags["u_1_0"]["response_len"] == 10
    assert RGR_SKIPPED not in queue.tags["u_0_0"]
    assert queue.events[-2:] == [("u_1_0", "tag"), ("u", "finished")]


def test_a_timeout_is_noted_on_the_source(bench: Any, queue: MemoryQueue, tokenizer: Any) -> None:
    client = ScriptedClient(tokenizer, reply="", stop_reason=TIMED_OUT)
    work = bench([RIGHT, WRONG], client=client, care={"rgr": {"timeout_s": 0.02}})
    work.run()
    assert client.calls[0]["sampling_params"][TIME_LIMIT] == 0.02
    assert client.calls[0]["priority"] == -1
    assert queue.tags["u_1_0"][RGR_SKIPPED] == "timeout"
    assert "u_2_0" not in queue.rows
    assert queue.events[-1] == ("u", "finished")


def test_an_aborted_decode_is_noted_on_the_source(
    bench: Any, queue: MemoryQueue, tokenizer: Any
) -> None:
    client = ScriptedClient(tokenizer, reply="", stop_reason="aborted")
    work = bench([RIGHT, WRONG], client=client)
    work.run()
    assert queue.tags["u_1_0"][RGR_SKIPPED] == "aborted"
    assert "u_2_0" not in queue.rows


def test_a_prompt_may_have_a_group_size_of_its_own(bench: Any, queue: MemoryQueue) -> None:
    """The configuration says three; verl's `__rollout_n__` says two for this prompt."""
    work = bench([RIGHT, WRONG, WRONG])
    work.run(__rollout_n__=2)
    assert sorted(queue.rows) == ["u_0_0", "u_1_0", "u_2_0"]
    assert reflected_from(queue, "u_2_0") == 1


def test_validation_is_verls_own(bench: Any, queue: MemoryQueue) -> None:
    work = bench([RIGHT, WRONG])
    work.run(validate=True)
    assert work.client.calls == []
    assert all(HARVEST not in params for params in work.session_params)
    assert sorted(queue.rows) == ["u_0_0", "u_1_0"]
    assert queue.tags["u_0_0"]["in"] == "val"
    assert CARE not in queue.rows["u_0_0"]["extra_fields"]


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


def test_an_id_beyond_the_tokenizers_vocabulary_ends_the_text(
    bench: Any, queue: MemoryQueue, tokenizer: Any
) -> None:
    """A model's vocabulary is padded; the rollout's automaton takes such an id for the end."""
    beyond = len(tokenizer) + 3
    work = bench([RIGHT])
    work.session_output = lambda session: session_with(tokenizer, [beyond])
    work.run()
    assert queue.rows["u_0_0"]["extra_fields"][CARE]["spans"]["end"] == 2


def test_the_models_other_end_tokens_end_the_text(
    bench: Any, queue: MemoryQueue, tokenizer: Any
) -> None:
    """As in the rollout server, which asks the generation config."""
    (other_end,) = tokenizer.encode("red")
    work = bench([RIGHT], end_tokens=[other_end])
    work.session_output = lambda session: session_with(tokenizer, [other_end])
    work.run()
    assert queue.rows["u_0_0"]["extra_fields"][CARE]["spans"]["end"] == 2


def session_with(tokenizer: Any, ids: list[int]) -> AgentLoopOutput:
    """`<think>`, 7 and these tokens."""
    embedding = np.zeros(2, dtype=np.float32)
    return agent_output([*tokenizer.encode("<think>7"), *ids], extra_fields={EMBEDDING: embedding})
