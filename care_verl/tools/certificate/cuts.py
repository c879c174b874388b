"""The ways in which one update is cut, and where each row then lies."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

from care_verl.tools.certificate.certified_rows import ChosenRows
from care_verl.training.care.capture_file import CapturedRow


class Part(Enum):
    """What a placed row is in the update."""

    TRAINED = "trained"
    CLEARED = "padding: masks cleared"
    DROPPED = "outside S*, masks as rolled out"


Placed = tuple[CapturedRow, Part]
Shares = Callable[[Sequence[int], int], list[list[int]]]
"""Row lengths in tokens and a number of ranks -> the rows of each rank, equally many."""


@dataclass(frozen=True)
class Cut:
    """One way to cut the update.

    ranks: data-parallel ranks. micro_rows: rows in a micro-batch, None for a rank's whole share.
    budget_rows: dynamic batching instead, with a budget of so many times the longest row's tokens.
    order: `balanced` as the trainer does it; `shuffled`; `uneven`, the longest beside the shortest.
    extra: rows beside those of S*: `dropped` rows with cleared masks, `dropped_unmasked` with
        masks as rolled out, `copies`, an `empty_micro_batch` or an `empty_rank` that holds no row
        of S* at all.
    pad_token: what fills shorter rows up inside a micro-batch.
    """

    name: str
    ranks: int = 1
    micro_rows: int | None = None
    budget_rows: int | None = None
    order: str = "balanced"
    extra: str = "none"
    pad_token: int = 0


EXTRA_ROWS = 6
SHUFFLE_SEED = 0


def _on(ranks: int) -> list[Cut]:
    by_three = partial(Cut, ranks=ranks, micro_rows=3)
    return [
        Cut("one micro-batch", ranks),
        Cut("micro-batches of 1", ranks, micro_rows=1),
        Cut("micro-batches of 3", ranks, micro_rows=3),
        Cut("dynamic, budget of 2 rows", ranks, budget_rows=2),
        Cut("dynamic, budget of 8 rows", ranks, budget_rows=8),
        by_three("long beside short", order="uneven", pad_token=1),
        by_three("shuffled", order="shuffled"),
        by_three("dropped rows, masks cleared", order="shuffled", extra="dropped"),
        by_three("dropped rows, masks kept", order="shuffled", extra="dropped_unmasked"),
        by_three("padding copies", order="shuffled", extra="copies"),
        by_three("a micro-batch without S*", extra="empty_micro_batch"),
    ]


CUTS = [
    *_on(1),
    Cut("micro-batches of 4", micro_rows=4),
    *_on(2),
    Cut("a rank without S*", 2, micro_rows=3, extra="empty_rank"),
]


def place(cut: Cut, rows: ChosenRows, shares: Shares) -> list[list[Placed]]:
    """The rows of each rank in order. `shares` is how the trainer balances ranks."""
    trained: list[Placed] = [(row, Part.TRAINED) for row in rows.trained]
    by_length = sorted(rows.dropped, key=lambda row: len(row.input_ids))
    longest, shorter = by_length[-EXTRA_ROWS:], by_length[:-EXTRA_ROWS]
    fill = _Padding(shorter, rows.trained)
    multiple = cut.ranks * (cut.micro_rows or 1)
    if cut.extra == "empty_rank":
        first = trained + fill.up_to(len(trained), cut.micro_rows or 1)
        return [first, fill.rows(len(first))]

    extra: list[Placed] = []
    if cut.extra == "dropped":
        extra = [(row, Part.CLEARED) for row in longest]
    elif cut.extra == "dropped_unmasked":
        extra = [(row, Part.DROPPED) for row in longest]
    elif cut.extra == "copies":
        extra = _Padding([], rows.trained).rows(EXTRA_ROWS)
    placed = trained + extra
    placed += fill.up_to(len(placed), multiple)
    dealt = _dealt(cut, placed, shares)
    if cut.extra == "empty_micro_batch":
        return [share + fill.rows(cut.micro_rows or 1) for share in dealt]
    return dealt


def _dealt(cut: Cut, placed: list[Placed], shares: Shares) -> list[list[Placed]]:
    lengths = [len(row.input_ids) for row, _ in placed]
    if cut.order == "balanced":
        # Padding at the end of each rank, as `deal_order` leaves it with one mini-batch.
        return [
            sorted((placed[i] for i in share), key=lambda item: item[1] is not Part.TRAINED)
            for share in shares(lengths, cut.ranks)
        ]
    order = sorted(range(len(placed)), key=lambda i: (lengths[i], i))
    if cut.order == "uneven":
        half = len(order) // 2
        pairs = zip(order[: len(order) - half], [*reversed(order[-half:]), None], strict=False)
        order = [i for pair in pairs for i in pair if i is not None]
    else:
        random.Random(SHUFFLE_SEED).shuffle(order)
    share = len(order) // cut.ranks
    return [[placed[i] for i in order[r * share :][:share]] for r in range(cut.ranks)]


class _Padding:
    """Real rows with cleared masks: the shortest dropped ones, then copies of the shortest."""

    def __init__(self, dropped: Sequence[CapturedRow], trained: Sequence[CapturedRow]) -> None:
        self._dropped = list(dropped)
        self._copied = min(trained, key=lambda row: len(row.input_ids))

    def rows(self, count: int) -> list[Placed]:
        taken, self._dropped = self._dropped[:count], self._dropped[count:]
        return [(row, Part.CLEARED) for row in taken + [self._copied] * (count - len(taken))]

    def up_to(self, present: int, multiple: int) -> list[Placed]:
        return self.rows(-present % multiple)
