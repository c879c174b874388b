"""Device state of all harvested requests: one slot each in a few large tensors."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from care_verl.algorithm.automaton import (
    RationaleAutomaton,
    accumulate,
    finish,
    rationale_embedding,
)
from care_verl.rollout.host_copy import to_device

_FIRST_CAPACITY = 16


@dataclass(frozen=True)
class SlotSelection:
    """The n slots that a step feeds, on the device."""

    index: Tensor
    """int64 [n]."""
    active: Tensor
    """bool [R], true at these slots; R is the highest of them plus one."""


class SlotTable:
    """Slots of the harvest's accumulators, as many as there are requests open at a time.

    vLLM moves requests between the rows of its batch and takes preempted ones out of it; a slot
    stays with its request from the first token to the last.
    """

    def __init__(self, automaton: RationaleAutomaton, width: int, device: torch.device) -> None:
        self.device = device
        self._automaton = automaton.to(device)
        self._free: list[int] = []
        with torch.inference_mode():
            self._state = _State.zeros(0, width, device)

    @torch.inference_mode()
    def acquire(self, prefilled: bool) -> int:
        """A slot at the automaton's start; `prefilled` where the prompt opens the rationale."""
        if not self._free:
            self._grow()
        slot = heapq.heappop(self._free)
        start = self._automaton.start_prefilled if prefilled else self._automaton.start
        self._state.state[slot] = start
        return slot

    @torch.inference_mode()
    def select(self, slots: list[int]) -> SlotSelection:
        """Bring n >= 1 different slots to the device."""
        index = to_device(slots, self.device)
        active = torch.zeros(max(slots) + 1, dtype=torch.bool, device=self.device)
        return SlotSelection(index, active.index_fill_(0, index, True))

    @torch.inference_mode()
    def add(self, selection: SlotSelection, token_ids: Tensor, hidden: Tensor) -> None:
        """Feed one token and its hidden row to each selected slot: integer [n] and [n, H]."""
        whole = self._state
        whole.token_ids.index_copy_(0, selection.index, token_ids.long())
        whole.hidden.index_copy_(0, selection.index, hidden.to(whole.hidden.dtype))
        part = whole.below(len(selection.active))
        accumulate(
            self._automaton,
            part.state,
            part.S,
            part.P,
            part.nS,
            part.nP,
            part.token_ids,
            part.hidden,
            selection.active,
        )

    @torch.inference_mode()
    def release(self, slots: list[int]) -> tuple[Tensor, Tensor]:
        """End the requests of n slots and free these.

        Returns float32 embeddings [n, H] and int64 counts of the rows they pool [n], on device.
        """
        index = to_device(slots, self.device)
        sums = (self._state.S, self._state.P, self._state.nS, self._state.nP)
        S, P, nS, nP = (total[index] for total in sums)
        for total in sums:
            total.index_fill_(0, index, 0)
        for slot in slots:
            heapq.heappush(self._free, slot)
        finish(S, P, nS, nP)
        return rationale_embedding(S, nS), nS

    def _grow(self) -> None:
        old = len(self._state.state)
        new = max(_FIRST_CAPACITY, 2 * old)
        self._state = self._state.grown(new)
        self._free = list(range(old, new))


@dataclass(frozen=True)
class _State:
    """What `accumulate` updates, and the step's inputs laid out by slot; R slots."""

    state: Tensor
    S: Tensor
    P: Tensor
    nS: Tensor
    nP: Tensor
    token_ids: Tensor
    hidden: Tensor

    @classmethod
    def zeros(cls, capacity: int, width: int, device: torch.device) -> _State:
        def integers() -> Tensor:
            return torch.zeros(capacity, dtype=torch.int64, device=device)

        def rows() -> Tensor:
            return torch.zeros(capacity, width, dtype=torch.float32, device=device)

        return cls(integers(), rows(), rows(), integers(), integers(), integers(), rows())

    def below(self, slots: int) -> _State:
        return _State(*(getattr(self, item.name)[:slots] for item in fields(self)))

    def grown(self, capacity: int) -> _State:
        new = _State.zeros(capacity, self.S.shape[1], self.S.device)
        for item in fields(self):
            old = getattr(self, item.name)
            getattr(new, item.name)[: len(old)] = old
        return new
