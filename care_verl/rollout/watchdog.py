"""Trainer's side of a dying rollout engine: the run ends with that as its error.

A trainer whose vLLM engine is gone mostly does not notice. Its prompts come back as failed groups,
and the next weight sync then sends to a receiver that does not exist, in a call that has no time
limit. Nothing can interrupt such a call but the end of the process that waits in it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from care_verl.common.errors import CareVerlError
from care_verl.common.logs import logger_of

logger = logger_of(__name__)

# The driver may trip over a death before word of it has come.
_WORD_COMES_WITHIN_S = 3.0


class RolloutDiedError(CareVerlError, RuntimeError):
    """A rollout engine died during the run."""


class RolloutWatchdog:
    """Watches the rollout servers of a run from the process that drives it.

    Args:
        servers: the replicas' servers (actor handles of `CareVLLMServer`), by a name for them.
        workers: actors that are killed when a server's engine has died, so that calls into them
            return: the training workers.
    """

    def __init__(self, servers: Mapping[str, Any], workers: Sequence[Any]) -> None:
        self._servers = dict(servers)
        self._workers = list(workers)
        self._reason: str | None = None
        self._died = threading.Event()
        self._over = False
        threading.Thread(target=self._watch, name="care-rollout-watchdog", daemon=True).start()

    def check(self) -> None:
        """Raise RolloutDiedError if an engine has died; call it where the driver polls."""
        if self._reason is not None:
            raise RolloutDiedError(self._reason)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """The run. An error raised in it because an engine died is reported as that death.

        When it is left, servers may end without anyone minding.
        """
        try:
            yield
        except Exception as error:
            if self._died.wait(_WORD_COMES_WITHIN_S):
                raise RolloutDiedError(self._reason) from error
            raise
        finally:
            self._over = True

    def _watch(self) -> None:
        deaths = {server.wait_until_dead.remote(): name for name, server in self._servers.items()}
        (first, *_), _ = ray.wait(list(deaths), num_returns=1)
        try:
            reason = str(ray.get(first))
        except ray.exceptions.RayError as error:
            reason = f"the rollout server {deaths[first]} died: {error}"
        if self._over:
            return
        self._reason = reason
        self._died.set()
        logger.critical("%s", reason)
        for worker in self._workers:
            ray.kill(worker)
