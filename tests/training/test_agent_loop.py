"""The group stage inside verl's own `_run_prompt`, on one event loop and a queue in memory.

Decoding and scoring are scripted. That a real server decodes the same request, and that real
workers reach the real queue, is shown end to end.
"""

from __future__ import annotations

from typing import Any

import pytest

from care_verl.training.fields import (
    CARE,
    HARVEST,
    RGR_SKIPPED,
    TIME_LIMIT,
    TIMED_OUT,
)

from .samples import MemoryQueue
from .workbench import (
    REPAIRED,
    RESPONSE_LENGTH,
    RIGHT,
    WRONG,
    ScriptedClient,
    reflected_from,
    session_with,
)


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
