"""What a comparison comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Judgement = Literal["same", "different", "cannot_say"]
# Relative tolerance of values that should be equal: floats, summed in another order.
EXACT = 1e-9


@dataclass(frozen=True)
class Opinion:
    """A judgement and what it rests on."""

    judgement: Judgement
    reason: str
