"""A death of verl's queue ends the run: calls into it would wait for an answer for ever.

The queue's controller and storages are actors behind sockets, and a socket does not tell that its
other end is gone. The trainer may be waiting in such a call, so a thread watches and a signal gets
the trainer out.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import transfer_queue.interface

from care_verl.platform.seam import Seam
from care_verl.training.run.liveness import PING_SECONDS, ActorPings, RunActorDiedError, named

# Nobody else's: batch systems and Python's tools use the named ones.
_INTERRUPT = signal.SIGRTMIN + 5


RELIES_ON = (
    Seam(
        "transfer_queue.interface:_maybe_create_tq_storage",
        "the queue's storages are where they are looked for",
        "_TQ_STORAGE[backend_name] = backend_resources",
    ),
    Seam(
        "transfer_queue.interface:init",
        "the queue's controller is where it is looked for",
        "_TQ_CONTROLLER = TransferQueueController.options(",
    ),
)


def queue_actors() -> dict[str, Any]:
    """The actors of the queue that this process started, by name."""
    controller = {"the controller of the queue": transfer_queue.interface._TQ_CONTROLLER}
    storages = (transfer_queue.interface._TQ_STORAGE or {}).get("SimpleStorage") or {}
    return controller | named("storage of the queue", list(storages.values()))


@contextmanager
def watching_queue() -> Iterator[None]:
    """Within it, in the main thread, the death of the queue raises RunActorDiedError."""
    over = threading.Event()
    found: list[RunActorDiedError] = []
    trainer = threading.get_ident()
    pings = ActorPings(queue_actors())

    def watch() -> None:
        while not over.wait(PING_SECONDS):
            try:
                pings.check()
            except RunActorDiedError as error:
                # At its end the run itself kills them.
                if not over.is_set():
                    found.append(error)
                    signal.pthread_kill(trainer, _INTERRUPT)
                return

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not over.is_set():
            raise found[0]

    before = signal.signal(_INTERRUPT, interrupt)
    watcher = threading.Thread(target=watch, name="care-queue-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        # A signal that came after the handler is gone would kill the process.
        watcher.join()
        signal.signal(_INTERRUPT, before)
