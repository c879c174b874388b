"""A few workers shared by all threads of a process; each replaced when it dies."""

import os
import queue
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from functools import lru_cache

from care_verl.common.errors import CareVerlError
from care_verl.verifier.symbolic.budget import current
from care_verl.verifier.symbolic.guard import too_costly
from care_verl.verifier.symbolic.request import (
    READY,
    UNDECIDED,
    Comparison,
    Form,
    decode_comparison,
    encode_request,
)

_WORKER = "care_verl.verifier.symbolic.worker"
_START_SECONDS = 120.0
# Beyond the worker's own limit: it answers for a child that was ended, unless it was stopped too.
_GRACE_SECONDS = 5.0
_ATTEMPTS = 3


class WorkerDiedError(CareVerlError, RuntimeError):
    """A worker process ended, or fell silent, before it answered."""


class WorkerFailedError(CareVerlError, RuntimeError):
    """A worker process cannot be started: there is no math-verify, or no memory."""


class Worker:
    """One worker process, started when it is first needed. Not to be shared between threads."""

    def __init__(self, cpu_seconds: float, wall_seconds: float) -> None:
        self._limits = (cpu_seconds, wall_seconds)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the worker; None before it was started."""
        return self._process.pid if self._process else None

    def compare(self, answer: Form, gold: Form) -> Comparison:
        """The comparison.

        Raises WorkerDiedError, and WorkerFailedError when no process can be started.
        """
        if self._process is None:
            self._process = self._started()
        try:
            self._send(encode_request(answer, gold))
            return decode_comparison(self._receive(self._limits[1] + _GRACE_SECONDS))
        except (OSError, WorkerDiedError) as error:
            self.close()
            raise WorkerDiedError(str(error)) from error

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        # The child too, which would not notice if it is stopped.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", _WORKER, *map(str, self._limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # A group of its own: an interrupt at the terminal is not meant for it.
            start_new_session=True,
        )
        try:
            line = self._receive(_START_SECONDS)
        except WorkerDiedError as error:
            self.close()
            raise WorkerFailedError(
                f"{error} before it was ready: does `{sys.executable} -m {_WORKER} 1 20` run?"
            ) from error
        assert line == READY
        return self._process

    def _send(self, request: bytes) -> None:
        process = self._running()
        assert process.stdin is not None
        while request:
            request = request[process.stdin.write(request) :]

    def _receive(self, seconds: float) -> bytes:
        process = self._running()
        assert process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([process.stdout], [], [], seconds)[0]:
                raise WorkerDiedError(f"a worker of the verifier was silent for {seconds:g} s")
            piece = process.stdout.read(65_536)
            if not piece:
                raise WorkerDiedError("a worker of the verifier has ended")
            line += piece
        return line

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise WorkerDiedError("a worker of the verifier is not running")
        return self._process


class Pool:
    """Workers that are lent to one caller at a time.

    workers: how many comparisons run at once.
    cpu_seconds: processor time of one comparison. It is not spent while others use the processor,
        so a loaded machine turns no right answer into a wrong one.
    wall_seconds: time of one comparison by the clock, for what waits without computing.
    """

    def __init__(
        self, workers: int = 2, cpu_seconds: float = 1.0, wall_seconds: float = 20.0
    ) -> None:
        self.workers = [Worker(cpu_seconds, wall_seconds) for _ in range(workers)]
        # The last one that became free is the next: one caller alone starts one process.
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in reversed(self.workers):
            self._idle.put(worker)

    def compare(self, answer: Form, gold: Form) -> Comparison:
        """The comparison; undecided when it is too costly or used up its time.

        A worker that is killed from outside is replaced and asked again; a comparison that ends
        several in a row is undecided.

        Raises WorkerFailedError when no worker can be started.
        """
        if too_costly(answer.text) or too_costly(gold.text):
            return UNDECIDED
        worker = self._idle.get()
        try:
            for _ in range(_ATTEMPTS):
                with suppress(WorkerDiedError):
                    return worker.compare(answer, gold)
            return UNDECIDED
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.close()


_default: Pool | None = None
_lock = threading.Lock()


def default_pool() -> Pool:
    """The pool of this process, made when it is first needed."""
    global _default
    with _lock:
        if _default is None:
            _default = Pool()
        return _default


def compare(answer: Form, gold: Form) -> Comparison:
    """The comparison by this process's pool, within the budget of the current verdict."""
    budget = current()
    if budget is not None and budget.exhausted:
        return UNDECIDED
    comparison = _compared(answer, gold)
    if budget is not None:
        budget.spent += comparison.seconds
    return comparison


@lru_cache(maxsize=4096)
def _compared(answer: Form, gold: Form) -> Comparison:
    """Remembered: rollouts of one prompt often give the same answer."""
    return default_pool().compare(answer, gold)


def _forget() -> None:
    """In a forked child: its parent's workers answer its parent."""
    global _default, _lock
    _default, _lock = None, threading.Lock()
    _compared.cache_clear()


os.register_at_fork(after_in_child=_forget)
