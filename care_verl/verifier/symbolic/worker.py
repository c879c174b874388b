"""The worker: a process that loads math-verify once and forks the one that compares.

    python -m care_verl.verifier.symbolic.worker CPU_SECONDS WALL_SECONDS

The child reads requests and writes answers on the pipes that both inherit. Before each request it
sets timers whose signals end it, so a comparison that holds the interpreter for hours ends too, and
so does one whose caller is gone. The parent only waits: when the child ran out of time it says so
in the child's place, and forks another, which costs milliseconds where a new process would cost
seconds.
"""

import importlib
import logging
import os
import resource
import signal
import sys
import time
from dataclasses import replace

from care_verl.verifier.symbolic.request import (
    READY,
    UNDECIDED,
    decode_request,
    encode_comparison,
)

_MOST_MEMORY = 4 * 2**30
_OUT_OF_TIME = (signal.SIGPROF, signal.SIGALRM)


def main(cpu_seconds: float, wall_seconds: float) -> None:
    """Serve requests from standard input until it ends."""
    # Each comparison would warn that math-verify's time limit is off, and log what it cannot read.
    logging.disable(logging.CRITICAL)
    # In the parent, so that every child has it.
    importlib.import_module("care_verl.verifier.symbolic.comparison")
    _write(READY)
    while True:
        child = os.fork()
        if child == 0:
            _serve(cpu_seconds, wall_seconds)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) not in _OUT_OF_TIME:
            # Its caller is gone, or it was killed, perhaps between two requests, where an answer in
            # its place would be taken for the next one's. The caller sees the end of the pipe.
            return
        _write(encode_comparison(replace(UNDECIDED, seconds=cpu_seconds)))


def _serve(cpu_seconds: float, wall_seconds: float) -> None:
    """Answer requests until standard input ends."""
    from care_verl.verifier.symbolic.comparison import compared

    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    while line := _line():
        _limit(cpu_seconds, wall_seconds)
        begin = time.process_time()
        comparison = compared(*decode_request(line))
        _limit(0, 0)
        _write(encode_comparison(replace(comparison, seconds=time.process_time() - begin)))


def _limit(cpu_seconds: float, wall_seconds: float) -> None:
    """End this process when it has used so much time; 0 takes the limit away.

    Both signals have their default action, which needs no turn of the interpreter.
    """
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    signal.setitimer(signal.ITIMER_REAL, wall_seconds)


def _line() -> bytes:
    """The next request. Unbuffered: what a child has read would be lost with it."""
    pieces = []
    while piece := os.read(0, 65_536):
        pieces.append(piece)
        if piece.endswith(b"\n"):
            break
    return b"".join(pieces)


def _write(line: bytes) -> None:
    while line:
        line = line[os.write(1, line) :]


if __name__ == "__main__":
    # An interrupt at the terminal is the caller's to handle; the pipe's end follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(float(sys.argv[1]), float(sys.argv[2]))
