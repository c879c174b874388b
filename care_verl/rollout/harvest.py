"""Rationale embeddings while responses are decoded: which hidden row belongs to whom, and when.

The engine's view of a step is given as plain values, so that nothing here depends on vLLM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from care_verl.rollout.bank import SlotBank, SlotSelection
from care_verl.rollout.host_copy import HostCopy, to_device
from care_verl.rollout.ticket import Ticket


class StepRow(NamedTuple):
    """One request of a step: the last of its tokens that the step feeds to the model."""

    request_id: str
    position: int
    """Index of that token in prompt + response."""
    known_tokens: int
    """Tokens of prompt + response that are known before the step."""


@dataclass(frozen=True)
class Delivery:
    """Embeddings of n requests that ended, on their way to the host."""

    tickets: list[Ticket]
    embeddings: HostCopy
    """float32 [n, H]."""
    counts: HostCopy
    """int64 [n], the hidden rows that each embedding pools."""


@dataclass(slots=True)
class _Request:
    ticket: Ticket
    slot: int
    prompt_len: int
    next_position: int


@dataclass(frozen=True)
class _Route:
    """The rows of a step that are pooled, and their slots."""

    rows: list[int]
    slots: list[int]


@dataclass(frozen=True)
class _Indices:
    """A route on the device."""

    rows: Tensor
    slots: SlotSelection


class RationaleHarvest:
    """Pools the rationale of every open request, one decode step after the other."""

    def __init__(self, bank: SlotBank, deliver: Callable[[Delivery], None]) -> None:
        self._bank = bank
        self._deliver = deliver
        self._requests: dict[str, _Request] = {}
        self._route = _Route([], [])

    @property
    def idle(self) -> bool:
        """Whether no request is open."""
        return not self._requests

    def is_open(self, request_id: str) -> bool:
        """Whether a request is being harvested."""
        return request_id in self._requests

    def open(self, request_id: str, ticket: Ticket, prompt_len: int) -> None:
        """Begin to harvest a request whose response starts at position `prompt_len`."""
        slot = self._bank.acquire(ticket.prefilled)
        self._requests[request_id] = _Request(ticket, slot, prompt_len, prompt_len)

    def observe(self, rows: Sequence[StepRow | None], token_ids: Tensor, hidden: Tensor) -> None:
        """Pool one step.

        A prompt is cut into chunks, and a preempted request is computed anew, so that a step may
        end at a position of the prompt or at one that was pooled before. Only the row right
        behind the last pooled one is taken.

        Args:
            rows: the step's requests, in the order of the tensors; None where not open.
            token_ids: integer [n], the last token each of them feeds.
            hidden: [n, H], its final-layer hidden row.

        Raises:
            RuntimeError: a position was left out, or one that was pooled is decided anew.
        """
        route = self._accept(rows)
        if route.rows:
            indices = self._indices_of(route)
            self._bank.add(indices.slots, token_ids[indices.rows], hidden[indices.rows])

    def close(self, request_ids: Iterable[str]) -> None:
        """Deliver the embeddings of requests that ended; those not open are passed over."""
        ended = [self._requests.pop(key) for key in request_ids if key in self._requests]
        if ended:
            embeddings, counts = self._bank.release([request.slot for request in ended])
            self._deliver(
                Delivery(
                    [request.ticket for request in ended],
                    HostCopy.start(embeddings),
                    HostCopy.start(counts),
                )
            )

    def _accept(self, rows: Sequence[StepRow | None]) -> _Route:
        route = _Route([], [])
        for index, row in enumerate(rows):
            if row is not None:
                request = self._requests[row.request_id]
                if _takes(request, row):
                    request.next_position += 1
                    route.rows.append(index)
                    route.slots.append(request.slot)
        return route

    def _indices_of(self, route: _Route) -> _Indices:
        # The batch seldom changes between steps: bring a route to the device once.
        if route != self._route:
            rows = to_device(route.rows, self._bank.device)
            self._route, self._indices = route, _Indices(rows, self._bank.select(route.slots))
        return self._indices


def _takes(request: _Request, row: StepRow) -> bool:
    if row.position == request.next_position:
        return True
    if row.position > request.next_position:
        raise RuntimeError(
            f"request {row.request_id}: a step fed position {row.position}, but the last one "
            f"pooled is {request.next_position - 1}; expected one token a step (no speculative "
            "decoding, no jump-forward decoding)"
        )
    decides = row.known_tokens == row.position + 1
    begins = row.position == request.prompt_len - 1 and request.next_position == request.prompt_len
    if decides and not begins:
        raise RuntimeError(
            f"request {row.request_id}: the token behind position {row.position} is sampled "
            f"again, though positions up to {request.next_position - 1} were pooled; tokens of a "
            "running request were discarded (reset_prefix_cache with reset_running_requests), "
            "which cannot be combined with the rationale harvest"
        )
    return False
