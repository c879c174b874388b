"""Rationale embeddings while responses are decoded: which hidden row belongs to whom, and when.

The engine's view of a step is given as plain values, so that nothing here depends on vLLM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from care_verl.common.errors import CareVerlError
from care_verl.common.logs import logger_of
from care_verl.rollout.host_copy import HostCopy, to_device
from care_verl.rollout.positions import Positions, Whole
from care_verl.rollout.slots import SlotSelection, SlotTable
from care_verl.rollout.ticket import Ticket

logger = logger_of(__name__)

MOST_LOST = 16
"""Requests in an engine's life that may lose their embedding. Each costs its group."""


@dataclass(frozen=True)
class Step:
    """The n requests of a forward pass, in the order of its tensors."""

    request_ids: Sequence[str]
    fed: Whole
    """[n], index in prompt + response of the last token that the step feeds of each."""
    known: Whole
    """[n], tokens of prompt + response that are known before the step."""


@dataclass(frozen=True)
class Delivery:
    """Embeddings of n requests that ended, on their way to the host."""

    tickets: list[Ticket]
    embeddings: HostCopy
    """float32 [n, H]."""
    counts: HostCopy
    """int64 [n], the hidden rows that each embedding pools."""
    lost: frozenset[bytes] = frozenset()
    """Keys of the tickets whose embedding means nothing."""


class HarvestSurpriseError(CareVerlError, RuntimeError):
    """vLLM treats so many requests in ways that the harvest does not know that it is not chance."""


class _Request(NamedTuple):
    ticket: Ticket
    slot: int


@dataclass(frozen=True)
class _Indices:
    """Rows of a step that are pooled, and their slots, on the device."""

    rows: Tensor
    slots: SlotSelection


class _Batch:
    """The open requests among those of a step, kept for as long as steps have the same ones."""

    def __init__(
        self, request_ids: Sequence[str], requests: Mapping[str, _Request], table: SlotTable
    ) -> None:
        self.request_ids = list(request_ids)
        found = [
            (row, requests[key].slot) for row, key in enumerate(request_ids) if key in requests
        ]
        self.rows: Whole = np.array([row for row, _ in found], np.int64)
        self.slots: Whole = np.array([slot for _, slot in found], np.int64)
        self._table = table
        self._taken: NDArray[np.bool_] | None = None
        self._indices: _Indices

    def indices(self, taken: NDArray[np.bool_]) -> _Indices:
        """Of the rows that are `taken`; brought to the device when these are not as before."""
        if self._taken is None or not np.array_equal(taken, self._taken):
            self._taken = taken
            rows = to_device(self.rows[taken].tolist(), self._table.device)
            self._indices = _Indices(rows, self._table.select(self.slots[taken].tolist()))
        return self._indices


class RationaleHarvest:
    """Pools the rationale of every open request, one decode step after the other."""

    def __init__(self, table: SlotTable, deliver: Callable[[Delivery], None]) -> None:
        self._table = table
        self._deliver = deliver
        self._requests: dict[str, _Request] = {}
        self._positions = Positions()
        self._batch: _Batch | None = None
        self._lost: set[str] = set()
        self._lost_in_all = 0

    @property
    def idle(self) -> bool:
        """Whether no request is open."""
        return not self._requests

    def open(self, request_id: str, ticket: Ticket, prompt_len: int) -> None:
        """Begin to harvest a request whose response starts at position `prompt_len`."""
        slot = self._table.acquire(ticket.prefilled)
        self._positions.open(slot, prompt_len)
        self._requests[request_id] = _Request(ticket, slot)
        self._batch = None

    def observe(self, step: Step, token_ids: Tensor, hidden: Tensor) -> None:
        """Pool the row right behind the last pooled one of each open request.

        Args:
            step: the requests, those that are not open among them.
            token_ids: integer [n], the last token each of them feeds.
            hidden: [n, H], its final-layer hidden row.

        A request that is fed in a way the harvest does not know gets no embedding.

        Raises:
            HarvestSurpriseError: that has happened to more than `MOST_LOST` requests.
        """
        batch = self._batch_of(step.request_ids)
        taken = self._positions.take(batch.slots, step.fed[batch.rows], step.known[batch.rows])
        if taken.rows.any():
            indices = batch.indices(taken.rows)
            self._table.add(indices.slots, token_ids[indices.rows], hidden[indices.rows])
        for place, reason in taken.surprises.items():
            self._lose(batch.request_ids[batch.rows[place]], reason)

    def close(self, request_ids: Iterable[str]) -> None:
        """Deliver the embeddings of requests that ended; those not open are passed over."""
        keys = [key for key in request_ids if key in self._requests]
        lost = frozenset(self._requests[key].ticket.key for key in self._lost.intersection(keys))
        self._lost.difference_update(keys)
        ended = [self._requests.pop(key) for key in keys]
        if ended:
            self._batch = None
            embeddings, counts = self._table.release([request.slot for request in ended])
            self._deliver(
                Delivery(
                    [request.ticket for request in ended],
                    HostCopy.start(embeddings),
                    HostCopy.start(counts),
                    lost,
                )
            )

    def _batch_of(self, request_ids: Sequence[str]) -> _Batch:
        # vLLM changes its list in place. Two lists of the same objects are compared in C.
        if self._batch is None or self._batch.request_ids != request_ids:
            followed = {k: request for k, request in self._requests.items() if k not in self._lost}
            self._batch = _Batch(request_ids, followed, self._table)
        return self._batch

    def _lose(self, request_id: str, reason: str) -> None:
        """Follow a request no longer; its slot is freed at its end."""
        self._lost.add(request_id)
        self._lost_in_all += 1
        self._batch = None
        logger.error("no rationale embedding for request %s: %s", request_id, reason)
        if self._lost_in_all > MOST_LOST:
            raise HarvestSurpriseError(
                f"{self._lost_in_all} requests of this engine lost their rationale embedding, "
                f"which ends the run; the last, {request_id}: {reason}"
            )
