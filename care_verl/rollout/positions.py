"""Which hidden row of a request comes next.

A prompt is cut into chunks, and a preempted request is computed anew: a step may end at a position
of the prompt, or at one that was pooled before. Without a count kept for each request, such a row
would enter the mean twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Taken:
    """What a step means for n slots."""

    rows: NDArray[np.bool_]
    """[n], true where the next position was fed."""
    surprises: dict[int, str]
    """Why the mean of a slot can no longer be that of its rationale, by its place among the n."""


class Positions:
    """The next position to pool of each slot, as arrays: no Python runs for each request."""

    def __init__(self) -> None:
        self._prompt_len: Whole = np.zeros(0, np.int64)
        self._next: Whole = np.zeros(0, np.int64)

    def open(self, slot: int, prompt_len: int) -> None:
        """Give a slot to a request whose response starts at position `prompt_len`."""
        if slot >= len(self._next):
            more = max(slot + 1 - len(self._next), len(self._next))
            self._prompt_len = np.pad(self._prompt_len, (0, more))
            self._next = np.pad(self._next, (0, more))
        self._prompt_len[slot] = self._next[slot] = prompt_len

    def take(self, slots: Whole, fed: Whole, known: Whole) -> Taken:
        """Move those of n different slots on whose next position was fed.

        Args:
            slots: [n].
            fed: [n], the last position that the step feeds of each.
            known: [n], the tokens of prompt + response that are known before the step.
        """
        awaited = self._next[slots]
        taken: NDArray[np.bool_] = fed == awaited
        surprises = {} if taken.all() else self._surprises(slots, fed, known)
        self._next[slots] = awaited + taken
        return Taken(taken, surprises)

    def _surprises(self, slots: Whole, fed: Whole, known: Whole) -> dict[int, str]:
        awaited, prompt_len = self._next[slots], self._prompt_len[slots]
        left_out = fed > awaited
        begins = (fed == prompt_len - 1) & (awaited == prompt_len)
        anew = (fed < awaited) & (known == fed + 1) & ~begins
        found = {}
        for at in left_out.nonzero()[0].tolist():
            found[at] = (
                f"a step fed position {fed[at]}, but the last one pooled is {awaited[at] - 1}; "
                "expected one token a step (no speculative decoding, no jump-forward decoding)"
            )
        for at in anew.nonzero()[0].tolist():
            found[at] = (
                f"the token behind position {fed[at]} is sampled again, though positions up to "
                f"{awaited[at] - 1} were pooled; tokens of a running request were discarded "
                "(reset_prefix_cache with reset_running_requests), which cannot be combined with "
                "the rationale harvest"
            )
        return found
