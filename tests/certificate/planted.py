"""Errors planted into a rank, one for each cut that is named after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from care_verl.tools.certificate import ranks as ranks_module
from care_verl.tools.certificate.comparison import FLOAT64
from care_verl.tools.certificate.cuts import Cut
from care_verl.tools.certificate.job import Job
from care_verl.tools.certificate.ranks import run_rank


@contextmanager
def count_of_each_rank() -> Iterator[None]:
    """|S*| of a rank's own rows in the place of all ranks'."""
    from care_verl.training.care import worker

    honest = worker.global_row_count

    def alone(rows: Any, _: Any, device: str) -> int:
        return honest(rows, None, device)

    with patch.object(worker, "global_row_count", alone):
        yield


@contextmanager
def mean_of_each_micro_batch() -> Iterator[None]:
    """The rows of the micro-batch in the place of |S*|."""
    with _surrogate(lambda kwargs, rows: {**kwargs, "num_rows": rows}):
        yield


@contextmanager
def no_clip() -> Iterator[None]:
    """The plain ratio."""
    with _surrogate(lambda kwargs, _: {**kwargs, "clip_low": 1.0, "clip_high": 1e9}):
        yield


@contextmanager
def _surrogate(change: Callable[[dict[str, Any], int], dict[str, Any]]) -> Iterator[None]:
    from care_verl.training.care import policy_loss

    honest = policy_loss.clipped_surrogate

    def planted(log_prob: Any, *args: Any, **kwargs: Any) -> Any:
        return honest(log_prob, *args, **change(kwargs, len(log_prob)))

    with patch.object(policy_loss, "clipped_surrogate", planted):
        yield


@contextmanager
def masks_of_dropped_rows() -> Iterator[None]:
    """Dropped rows keep their masks on their way to the KL."""
    from care_verl.training.care import worker

    with patch.object(worker, "clear_rows_outside", lambda data: None):
        yield


PLANTS = {
    plant.__name__: plant
    for plant in (
        count_of_each_rank,
        mean_of_each_micro_batch,
        no_clip,
        masks_of_dropped_rows,
    )
}
HONEST = Cut("honest", ranks=2, micro_rows=3, order="shuffled", extra="dropped_unmasked")
PLANTED_CUTS = [
    HONEST,
    *(Cut(name, **{k: v for k, v in vars(HONEST).items() if k != "name"}) for name in PLANTS),
]


def planted_rank(rank: int, job: Job, cuts: Sequence[Cut], ranks: int, port: int) -> None:
    """`run_rank` in float64 alone, with the error that each cut is named after."""
    import os

    os.environ["VERL_PLATFORM"] = "cpu"
    from care_verl.tools.certificate.engine import Actor

    honest = Actor.update

    def update(self: Actor, cut: Cut, placed: Any) -> Any:
        with PLANTS.get(cut.name, nullcontext)():
            return honest(self, cut, placed)

    ranks_module.PRECISIONS = (FLOAT64,)
    with patch.object(Actor, "update", update):
        run_rank(rank, job, cuts, ranks, port)
