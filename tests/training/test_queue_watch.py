"""The trainer is got out of a call into a dead queue; the queue's actors are made by hand.

How Ray reports the death of the real ones is shown end to end (`make proofs`).
"""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest
import transfer_queue.interface

from care_verl.training.run import queue_watch
from care_verl.training.run.liveness import RunActorDiedError
from care_verl.training.run.queue_watch import queue_actors, watching_queue


class Pings:
    """Answers twice, then tells of a death."""

    def __init__(self, actors: dict[str, Any]) -> None:
        self.left = 2

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise RunActorDiedError("the controller of the queue died")


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_watch, "ActorPings", Pings)
    monkeypatch.setattr(queue_watch, "PING_SECONDS", 0.01)


def test_a_call_that_waits_for_ever_is_ended(dying: None) -> None:
    """As `transfer_queue` waits: for a result that another thread would bring."""
    before = signal.getsignal(queue_watch._INTERRUPT)
    answer: Future[None] = Future()
    with pytest.raises(RunActorDiedError, match="controller of the queue died"), watching_queue():
        answer.result(timeout=20)
    assert signal.getsignal(queue_watch._INTERRUPT) == before


def test_after_the_run_the_queue_may_die(dying: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word of it comes while a run that is over waits for the watch to end."""
    asked = threading.Event()

    def late(pings: Pings) -> None:
        asked.set()
        time.sleep(0.3)
        raise RunActorDiedError("the controller of the queue died")

    monkeypatch.setattr(Pings, "check", late)
    with watching_queue():
        assert asked.wait(20)
    assert not any(thread.name == "care-queue-watch" for thread in threading.enumerate())


def test_the_queues_actors_are_where_they_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the queue puts them there stands in `run.queue_watch`."""
    monkeypatch.setattr(transfer_queue.interface, "_TQ_CONTROLLER", "c")
    monkeypatch.setattr(
        transfer_queue.interface, "_TQ_STORAGE", {"SimpleStorage": {0: "s0", 1: "s1"}}
    )
    assert queue_actors() == {
        "the controller of the queue": "c",
        "storage of the queue 0": "s0",
        "storage of the queue 1": "s1",
    }


def test_other_backends_are_watched_by_their_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_queue.interface, "_TQ_CONTROLLER", "c")
    monkeypatch.setattr(transfer_queue.interface, "_TQ_STORAGE", {"MooncakeStore": object()})
    assert list(queue_actors()) == ["the controller of the queue"]
