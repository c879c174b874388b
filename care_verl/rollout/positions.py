"""Which hidden row of a request comes next.

A prompt is cut into chunks, and a preempted request is computed anew: a step may end at a position
of the prompt, or at one that was pooled before. Without a count kept for each request, such a row
would enter the mean twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]


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

    def take(self, slots: Whole, fed: Whole, known: Whole) -> NDArray[np.bool_]:
        """Move those of n different slots on whose next position was fed; true at these, [n].

        Args:
            slots: [n].
            fed: [n], the last position that the step feeds of each.
            known: [n], the tokens of prompt + response that are known before the step.

        Raises:
            RuntimeError: a position was left out, or one that was pooled is decided anew.
        """
        awaited = self._next[slots]
        taken: NDArray[np.bool_] = fed == awaited
        if not taken.all():
            self._refuse_surprises(slots, fed, known)
        self._next[slots] = awaited + taken
        return taken

    def _refuse_surprises(self, slots: Whole, fed: Whole, known: Whole) -> None:
        awaited, prompt_len = self._next[slots], self._prompt_len[slots]
        left_out = fed > awaited
        begins = (fed == prompt_len - 1) & (awaited == prompt_len)
        anew = (fed < awaited) & (known == fed + 1) & ~begins
        for at in left_out.nonzero()[0]:
            raise RuntimeError(
                f"a step fed position {fed[at]}, but the last one pooled is {awaited[at] - 1}; "
                "expected one token a step (no speculative decoding, no jump-forward decoding)"
            )
        for at in anew.nonzero()[0]:
            raise RuntimeError(
                f"the token behind position {fed[at]} is sampled again, though positions up to "
                f"{awaited[at] - 1} were pooled; tokens of a running request were discarded "
                "(reset_prefix_cache with reset_running_requests), which cannot be combined with "
                "the rationale harvest"
            )
