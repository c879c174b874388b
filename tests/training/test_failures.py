"""Failed groups as the trainer sees them, in a replay buffer of verl's around a queue in memory.

That a real queue carries the reports is shown end to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import ray
import transfer_queue
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from care_verl.training.care.row import NoEmbeddingError
from care_verl.training.run.failures import (
    CAUSE,
    REPORTS,
    FailedGroups,
    GroupsFailedError,
    discard_group,
    one_line,
    report_misfit,
)
from care_verl.training.run.misfit import MisfitError


class Queue:
    """Partitions of keys and tags, as `transfer_queue` lists them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.partitions: dict[str, dict[str, dict[str, Any]]] = {"train": {}}
        for name in ("kv_list", "kv_clear", "async_kv_list", "async_kv_clear", "async_kv_put"):
            monkeypatch.setattr(transfer_queue, name, getattr(self, name))

    def kv_list(self, partition_id: str | None = None) -> dict[str, dict[str, Any]]:
        wanted = [partition_id] if partition_id else list(self.partitions)
        return {name: dict(self.partitions[name]) for name in wanted if name in self.partitions}

    def kv_clear(self, keys: list[str], partition_id: str) -> None:
        for key in keys:
            del self.partitions[partition_id][key]

    async def async_kv_list(self, partition_id: str) -> dict[str, dict[str, Any]]:
        return self.kv_list(partition_id)

    async def async_kv_clear(self, keys: list[str], partition_id: str) -> None:
        self.kv_clear(keys, partition_id)

    async def async_kv_put(self, key: str, partition_id: str, tag: dict[str, Any]) -> None:
        self.partitions.setdefault(partition_id, {}).setdefault(key, {}).update(tag)

    def prompt(self, uid: str, status: str, rows: int = 0) -> None:
        self.partitions["train"][uid] = {"is_prompt": True, "global_steps": 1, "status": status}
        for session in range(rows):
            self.partitions["train"][f"{uid}_{session}_0"] = {"status": "success"}

    def fail(self, uid: str, cause: str) -> None:
        """A prompt whose group a worker discarded."""
        asyncio.run(discard_group(uid, cause))
        self.prompt(uid, "failure")


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    return Queue(monkeypatch)


def buffer(refill: Callable[[int], None] | None = None) -> Any:
    return ReplayBuffer(
        trainer_mode="sync",
        trainer_config=None,  # type: ignore[arg-type]
        max_off_policy_threshold=None,
        max_off_policy_strategy="drop",
        sampler_kwargs=None,  # type: ignore[arg-type]
        poll_interval=0.0,
        refill_fn=refill,
        gen_batch_size=1,
        sync_refill_failed_groups=refill is not None,
    )


def sampled(replay: Any, groups: int) -> list[str]:
    batch, _ = replay.sample(global_steps=1, partition_id="train", batch_size=groups)
    return sorted(batch.keys)


def test_a_discarded_group_leaves_no_row_and_one_report(queue: Queue) -> None:
    queue.prompt("a", "running", rows=2)
    queue.prompt("ab", "running", rows=1)
    asyncio.run(discard_group("a", "session 1: no"))
    assert sorted(queue.partitions["train"]) == ["a", "ab", "ab_0_0"]
    assert queue.partitions[REPORTS] == {"a": {CAUSE: "session 1: no"}}


def test_failed_groups_are_told_by_their_error(queue: Queue) -> None:
    replay = buffer()
    failed = FailedGroups(replay, limit=16)
    queue.prompt("a", "finished", rows=2)
    queue.fail("b", "session 0 of row 3: NoEmbeddingError: session 0: the rationale embedding")
    queue.fail("c", "session 0 of row 4: KeyError: 'NoEmbeddingError'")
    assert sampled(replay, 3) == ["a_0_0", "a_1_0"]
    assert failed.count(NoEmbeddingError) == 1
    assert failed.take() == 2


def test_a_failed_group_is_dropped_and_counted_once(queue: Queue) -> None:
    replay = buffer()
    failed = FailedGroups(replay, limit=16)
    queue.prompt("a", "finished", rows=2)
    queue.fail("b", "session 0: no")
    assert sampled(replay, 2) == ["a_0_0", "a_1_0"]
    assert failed.take() == 1
    assert queue.partitions == {
        "train": {"a_0_0": {"status": "success"}, "a_1_0": {"status": "success"}},
        REPORTS: {},
    }
    queue.prompt("c", "finished", rows=2)
    assert sampled(replay, 1)
    assert failed.take() == 0


def test_a_failed_group_is_refilled_where_verl_is_told_to(queue: Queue) -> None:
    replay = buffer(
        refill=lambda count: [queue.prompt(f"new{i}", "finished", 1) for i in range(count)] and None
    )
    failed = FailedGroups(replay, limit=16)
    queue.prompt("a", "finished", rows=1)
    queue.fail("b", "session 0: no")
    assert sampled(replay, 2) == ["a_0_0", "new0_0_0"]
    assert failed.take() == 1


def test_a_step_without_any_group_names_the_first_cause(queue: Queue) -> None:
    replay = buffer()
    FailedGroups(replay, limit=16)
    queue.fail("b", "session 3 of prompt b: OSError: truncated")
    queue.fail("a", "session 0 of prompt a: another")
    with pytest.raises(GroupsFailedError, match="2 groups failed in this step.*OSError: truncated"):
        sampled(replay, 2)


def test_a_misfit_ends_the_run_at_the_next_look(queue: Queue) -> None:
    """While its group, and every other one, is still being decoded."""
    replay = buffer()
    FailedGroups(replay, limit=16)
    queue.prompt("a", "running")
    queue.prompt("b", "running", rows=1)
    asyncio.run(report_misfit("b", "session 0 of prompt b: no 'acc'"))
    with pytest.raises(MisfitError, match="session 0 of prompt b: no 'acc'. Every other group"):
        sampled(replay, 2)


def test_discarding_the_group_leaves_the_misfit_reported(queue: Queue) -> None:
    replay = buffer()
    FailedGroups(replay, limit=16)
    asyncio.run(report_misfit("b", "session 0: no 'acc'"))
    queue.fail("b", "session 0: no 'acc'")
    with pytest.raises(MisfitError, match="no 'acc'"):
        sampled(replay, 1)


def test_refilling_without_an_end_is_ended(queue: Queue) -> None:
    """Every prompt fails, the new ones too."""
    drawn: list[str] = []

    def refill(count: int) -> None:
        for _ in range(count):
            drawn.append(f"new{len(drawn)}")
            queue.prompt(drawn[-1], "running")

    replay = buffer(refill=refill)
    wait = replay._wait_for_next_poll

    def settle(*args: Any) -> Any:
        queue.fail(drawn[-1], "never works")
        return wait(*args)

    replay._wait_for_next_poll = settle
    FailedGroups(replay, limit=5)
    queue.fail("a", "the first")
    with pytest.raises(
        GroupsFailedError, match="6 groups failed in this step.*the first: the first"
    ):
        sampled(replay, 1)


def test_an_error_of_the_queue_is_not_the_fault_of_a_failed_group(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = buffer()

    def broken(*args: Any) -> Any:
        raise RuntimeError("Error in kv_list: connection lost")

    FailedGroups(replay, limit=16)
    queue.fail("b", "a broken image")
    replay._wait_for_next_poll(partition_id="train", last_debug_time=0.0)
    monkeypatch.setattr(transfer_queue, "kv_list", broken)
    with pytest.raises(RuntimeError, match="connection lost") as error:
        sampled(replay, 1)
    assert not isinstance(error.value, GroupsFailedError)


def test_other_errors_of_the_buffer_stay_what_they_are(queue: Queue) -> None:
    replay = buffer()
    FailedGroups(replay, limit=16)
    queue.prompt("a", "finished")
    with pytest.raises(RuntimeError, match="no materializable trajectories") as error:
        sampled(replay, 1)
    assert not isinstance(error.value, GroupsFailedError)


def test_an_error_is_one_line() -> None:
    assert one_line(ValueError("two\n  lines")) == "ValueError: two lines"


def test_an_actors_error_is_shown_without_rays_wrapping() -> None:
    remote = ray.exceptions.RayTaskError("score", "a traceback\n" * 50, ValueError("nan"))
    assert one_line(remote) == "ValueError: nan"
    assert one_line(remote.as_instanceof_cause()) == "ValueError: nan"
