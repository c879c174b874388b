"""How much processor time one verdict may spend on comparisons, however many it asks for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

VERDICT_SECONDS = 1.0


@dataclass
class Budget:
    """Processor seconds spent so far, and how many there are."""

    seconds: float
    spent: float = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left."""
        return self.spent >= self.seconds


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def one_verdict(seconds: float = VERDICT_SECONDS) -> Iterator[None]:
    """Comparisons within this block share one budget; later ones than that are left undecided."""
    token = _budget.set(Budget(seconds))
    try:
        yield
    finally:
        _budget.reset(token)


def current() -> Budget | None:
    """The budget of the verdict that this thread is about to give."""
    return _budget.get()
