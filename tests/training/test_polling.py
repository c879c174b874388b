"""The pace of polling, by a clock of the test's own.

That verl's buffer looks before each sleep and sleeps `poll_interval` stands in `run.polling`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from care_verl.training.run import polling


def buffer_that_looks(monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> Any:
    """A buffer whose looks take so many seconds, one after the other."""
    clock, looks = SimpleNamespace(now=100.0), iter(seconds)

    class Buffer:
        poll_interval = 2.0

        def _sync_metadata_from_transfer_queue(self) -> str:
            clock.now += next(looks)
            return "seen"

    monkeypatch.setattr(polling.time, "monotonic", lambda: clock.now)
    buffer = Buffer()
    polling.pace_polling(buffer)
    return buffer


def test_a_sleep_is_twenty_times_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.031 s of looking is followed by 0.62 s of sleep: 4.8 % of the time.

    1 ms would give 0.02 s, less than the shortest sleep; 3 s would give a minute, more than verl's.
    """
    buffer = buffer_that_looks(monkeypatch, [0.031, 0.001, 3.0, 0.005])
    sleeps = []
    for _ in range(4):
        assert buffer._sync_metadata_from_transfer_queue() == "seen"
        sleeps.append(buffer.poll_interval)
    assert sleeps == pytest.approx([0.62, 0.05, 2.0, 0.1])


def test_verls_buffer_sleeps_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl's own wait, with a look of 10 ms into a queue of no partition."""
    buffer: Any = object.__new__(ReplayBuffer)
    buffer.poll_interval = 2.0
    clock = SimpleNamespace(now=0.0)

    def look() -> None:
        clock.now += 0.01

    buffer._sync_metadata_from_transfer_queue = look
    for name in ("pending", "running", "finished", "failure"):
        setattr(buffer, f"{name}_keys", {"train": set()})
    slept: list[float] = []
    monkeypatch.setattr(polling.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr("verl.trainer.ppo.v1.replay_buffer.time.sleep", slept.append)
    polling.pace_polling(buffer)
    buffer._sync_metadata_from_transfer_queue()
    buffer._wait_for_next_poll("train", 0.0)
    assert slept == pytest.approx([0.2])
