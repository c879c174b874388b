"""The verifiable reward (Eq. 1) and the gate on it."""

from __future__ import annotations

from torch import Tensor


def verifiable_reward(acc: Tensor, fmt: Tensor, lam: float) -> Tensor:
    """Eq. 1: r = (1 - lam) * acc + lam * fmt, elementwise, all in [0, 1].

    **Settled**: lam is 0.1 by default; the paper names no value, the authors' code uses 0.1.
    """
    return (1 - lam) * acc + lam * fmt


def is_positive(acc: Tensor) -> Tensor:
    """Whether a row is a verified success, elementwise: acc == 1 (Section 3.2).

    **Settled**: the gate is always the accuracy, never the shaped reward. With a format reward,
    a group in which all rows are wrong would otherwise look like a mixed one.
    """
    return acc == 1
