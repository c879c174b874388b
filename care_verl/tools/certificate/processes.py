"""Starting the processes that compute.

The reference has one of its own, which never loads verl: verl replaces methods of transformers'
classes, and the reference would run them too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import torch.multiprocessing

from care_verl.tools.certificate.cuts import Cut
from care_verl.tools.certificate.job import Job
from care_verl.tools.certificate.ranks import run_rank
from care_verl.tools.certificate.reference_process import compute_reference


def run_reference(job: Job) -> None:
    """Compute the reference at both points, into files of `job`."""
    _start(job, "reference", compute_reference, 1)


def run_cuts(job: Job, cuts: Sequence[Cut]) -> None:
    """Run the cuts, on as many processes as each has ranks, into `job.results(ranks)`."""
    for ranks in sorted({cut.ranks for cut in cuts}):
        own = [cut for cut in cuts if cut.ranks == ranks]
        _start(job, f"ranks_{ranks}", run_rank, ranks, own, ranks, _free_port())


def _start(job: Job, name: str, entry: Callable[..., None], count: int, *arguments: Any) -> None:
    torch.multiprocessing.start_processes(
        _logged, args=(job, name, entry, arguments), nprocs=count, start_method="spawn"
    )


def _logged(
    rank: int, job: Job, name: str, entry: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """verl and transformers print; what they print is kept in files."""
    log = os.open(job.logs / f"{name}.{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    entry(rank, job, *arguments)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
