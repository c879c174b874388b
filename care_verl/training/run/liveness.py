"""The trainer waits only as long as everyone is there, and says who is missing."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from care_verl.common.errors import CareVerlError
from care_verl.platform.places import BUFFER
from care_verl.platform.seam import Seam

PING_SECONDS = 5.0
# A worker that waits for one that died fails too, and may be the first that the trainer hears of.
_WORD_COMES_WITHIN_S = 5.0


RELIES_ON = (
    Seam(
        f"{BUFFER}.sample",
        "the buffer polls where we check",
        "last_debug_time = self._wait_for_next_poll(partition_id, last_debug_time)",
    ),
    Seam(
        f"{BUFFER}._wait_for_next_poll",
        "liveness._wait_for_next_poll",
        parameters="self, partition_id, last_debug_time",
    ),
)


class RunActorDiedError(CareVerlError, RuntimeError):
    """An actor that the run depends on is gone; without it the trainer would wait for ever."""


class ActorPings:
    """Asks actors, by name, whether they still answer; at most every `PING_SECONDS`."""

    def __init__(self, actors: Mapping[str, Any]) -> None:
        self._actors = dict(actors)
        self._pings: dict[Any, str] = {}
        self._last = 0.0

    def check(self) -> None:
        """Raise RunActorDiedError for an actor that died. A busy one is only late."""
        if time.monotonic() - self._last >= PING_SECONDS:
            self._last = time.monotonic()
            self._ping(timeout_s=0)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """The run. An error raised in it because an actor died is reported as that death."""
        try:
            yield
        except RunActorDiedError:
            raise
        except Exception as error:
            # An answer that is on its way may be from before the death.
            self._pings.clear()
            try:
                self._ping(_WORD_COMES_WITHIN_S)
            except RunActorDiedError as death:
                raise death from error
            raise

    def _ping(self, timeout_s: float) -> None:
        waiting = set(self._pings.values())
        for name, actor in self._actors.items():
            if name not in waiting:
                self._pings[actor.__ray_ready__.remote()] = name
        answered, _ = ray.wait(list(self._pings), num_returns=len(self._pings), timeout=timeout_s)
        for ping in answered:
            self._read(ping, self._pings.pop(ping))

    def _read(self, ping: Any, name: str) -> None:
        try:
            ray.get(ping)
        except ray.exceptions.ActorUnavailableError:
            # A connection broke; the next ping tells whether it comes back.
            return
        except ray.exceptions.RayActorError as error:
            raise RunActorDiedError(
                f"{name} died, so this step can never be completed; its log says why. The run "
                "ends here: fix the cause and resume from the last checkpoint"
            ) from error


def named(kind: str, actors: Sequence[Any]) -> dict[str, Any]:
    """Actors of one kind under names for messages."""
    return {f"{kind} {number}": actor for number, actor in enumerate(actors)}


def check_while_polling(replay_buffer: Any, check: Callable[[], None]) -> None:
    """Make a verl replay buffer call `check` before each wait for more rollouts."""
    wait = replay_buffer._wait_for_next_poll

    @functools.wraps(wait)
    def checked_wait(*args: Any, **kwargs: Any) -> Any:
        check()
        return wait(*args, **kwargs)

    replay_buffer._wait_for_next_poll = checked_wait
