"""Which tokens of a row carry its advantage, by scheme (Section 3.5, Figure 8).

A scheme is a value in `SCHEMES`; its key is the value of `algorithm.care.regions.scheme`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scheme:
    """Answer tokens weigh 1. Rationale tokens of positives and of negatives weigh gamma where
    they are named here; with `whole` every token weighs 1.
    """

    of_positives: bool = False
    of_negatives: bool = False
    whole: bool = False

    def weighs_rationale(self, positive: bool) -> bool:
        """Whether the rationale of such a row carries credit."""
        return self.of_positives if positive else self.of_negatives


SCHEMES: dict[str, Scheme] = {
    "rw": Scheme(of_positives=True),
    "answer_only": Scheme(),
    "uniform": Scheme(whole=True),
    "rw_fail_unmasked": Scheme(of_positives=True, of_negatives=True),
}
"""By `algorithm.care.regions.scheme`."""
