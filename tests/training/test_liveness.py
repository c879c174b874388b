"""Pings of rollout actors, with actors and Ray's answers made by hand.

How Ray itself reports a killed actor is shown end to end.
"""

from __future__ import annotations

from typing import Any

import pytest
import ray

from care_verl.training.run import liveness
from care_verl.training.run.liveness import (
    PING_SECONDS,
    ActorPings,
    RunActorDiedError,
    check_while_polling,
    named,
)


class FakeRay:
    """Actors by name, what each answers (None: not yet), and a clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.answers: dict[str, Any] = dict.fromkeys(names)
        self.asked: list[str] = []
        self.waited: list[float] = []
        self.now = 100.0
        monkeypatch.setattr(liveness.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(ray, "wait", self._wait)
        monkeypatch.setattr(ray, "get", self._get)

    def actors(self) -> dict[str, Any]:
        return {name: _Actor(self, name) for name in self.answers}

    def _wait(
        self, pings: list[tuple[str, int]], num_returns: int, timeout: float
    ) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        assert num_returns == len(pings)
        self.waited.append(timeout)
        answered = [ping for ping in pings if self.answers[ping[0]] is not None]
        return answered, [ping for ping in pings if ping not in answered]

    def _get(self, ping: tuple[str, int]) -> Any:
        answer = self.answers[ping[0]]
        if isinstance(answer, Exception):
            raise answer
        return answer


class _Actor:
    def __init__(self, fake: FakeRay, name: str) -> None:
        self._fake, self._name = fake, name

    @property
    def __ray_ready__(self) -> Any:
        return self

    def remote(self) -> tuple[str, int]:
        self._fake.asked.append(self._name)
        return self._name, len(self._fake.asked)


def test_actors_that_answer_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(monkeypatch, "one", "two")
    fake.answers.update(one=True, two=True)
    pings = ActorPings(fake.actors())
    pings.check()
    fake.now += PING_SECONDS
    pings.check()
    assert fake.asked == ["one", "two", "one", "two"]


def test_a_busy_actor_is_only_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first ping is still under way, so it gets no second one until it answered."""
    fake = FakeRay(monkeypatch, "one", "busy")
    fake.answers["one"] = True
    pings = ActorPings(fake.actors())
    for _ in range(3):
        pings.check()
        fake.now += PING_SECONDS
    assert fake.asked == ["one", "busy", "one", "one"]
    fake.answers["busy"] = True
    pings.check()
    fake.now += PING_SECONDS
    pings.check()
    assert fake.asked[-2:] == ["one", "busy"]


def test_pings_are_seconds_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(monkeypatch, "one")
    fake.answers["one"] = True
    pings = ActorPings(fake.actors())
    pings.check()
    fake.now += PING_SECONDS - 0.1
    pings.check()
    assert fake.asked == ["one"]
    fake.now += 0.1
    pings.check()
    assert fake.asked == ["one", "one"]


def test_a_dead_actor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(monkeypatch, "reward worker 0", "agent-loop worker 1")
    fake.answers.update(
        {"reward worker 0": True, "agent-loop worker 1": ray.exceptions.ActorDiedError()}
    )
    with pytest.raises(RunActorDiedError, match="^agent-loop worker 1 died") as error:
        ActorPings(fake.actors()).check()
    assert isinstance(error.value.__cause__, ray.exceptions.RayActorError)


def test_an_actor_out_of_reach_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray cannot tell yet whether it died or the network did."""
    fake = FakeRay(monkeypatch, "one")
    fake.answers["one"] = ray.exceptions.ActorUnavailableError("no connection", None)
    pings = ActorPings(fake.actors())
    pings.check()
    fake.answers["one"] = True
    fake.now += PING_SECONDS
    pings.check()
    assert fake.asked == ["one", "one"]


def test_an_error_that_follows_a_death_is_reported_as_that_death(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both have answered the ping before; only a fresh one tells."""
    fake = FakeRay(monkeypatch, "training worker 0", "training worker 1")
    pings = ActorPings(fake.actors())
    pings.check()
    fake.answers.update(
        {"training worker 0": True, "training worker 1": ray.exceptions.ActorDiedError()}
    )
    gloo = RuntimeError("Connection closed by peer")
    died = pytest.raises(RunActorDiedError, match="^training worker 1 died")
    with died as error, pings.explaining():
        raise gloo
    assert error.value.__cause__ is gloo
    assert fake.asked[2:] == ["training worker 0", "training worker 1"]
    assert fake.waited == [0, liveness._WORD_COMES_WITHIN_S]


def test_an_error_without_a_death_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(monkeypatch, "one", "busy")
    fake.answers["one"] = True
    with pytest.raises(KeyError, match="a bug"), ActorPings(fake.actors()).explaining():
        raise KeyError("a bug")


def test_actors_are_numbered() -> None:
    assert named("reward worker", ["a", "b"]) == {"reward worker 0": "a", "reward worker 1": "b"}


class Buffer:
    """A replay buffer as far as the poll goes."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        self.calls.append((partition_id, last_debug_time))
        return 2.5


def test_checks_run_before_each_wait() -> None:
    buffer = Buffer()
    check_while_polling(buffer, lambda: buffer.calls.append("first"))
    check_while_polling(buffer, lambda: buffer.calls.append("second"))
    assert buffer._wait_for_next_poll("train", last_debug_time=1.0) == 2.5
    assert buffer.calls == ["second", "first", ("train", 1.0)]
    assert Buffer()._wait_for_next_poll("train", 1.0) == 2.5


def test_a_failed_check_ends_the_wait() -> None:
    buffer = Buffer()

    def check() -> None:
        raise RunActorDiedError("gone")

    check_while_polling(buffer, check)
    with pytest.raises(RunActorDiedError, match="gone"):
        buffer._wait_for_next_poll("train", 1.0)
    assert buffer.calls == []
