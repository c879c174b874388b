"""One writer of Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def markdown(
    head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()
) -> Iterator[str]:
    """The lines of a table; `numbers` are the columns that are set to the right.

    A cell's vertical bars are escaped. Raises ValueError for a row of another length than the head.
    """
    right = set(numbers)
    yield _line(head)
    yield f"|{'|'.join('---:' if n in right else '---' for n in range(len(head)))}|"
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"{len(row)} cells under {len(head)} heads: {' | '.join(row)}")
        yield _line(row)


def _line(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in escaped)}|"
