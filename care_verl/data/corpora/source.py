"""What every corpus is read into before the checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from care_verl.common.errors import CareVerlError
from care_verl.data.corpora.row_outcome import Dropped

if TYPE_CHECKING:
    import datasets


class SourceError(CareVerlError, ValueError):
    """A source that cannot be read as it is; the message says what to change."""


class ImageUnavailableError(CareVerlError):
    """An image of a row that the source names and does not hold whole.

    reason: `missing image` or `unreadable image`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


# Gives an image's encoded bytes when it is called; raises ImageUnavailableError.
ImageLoader = Callable[[], bytes]


@dataclass(frozen=True)
class RawRow:
    """A row as its source gives it, images not yet read.

    index: number of the row in its source. source_id: how the source names the row; unique in it.
    question: text, placeholders included where the source has them.
    answer: the gold answer. choices: texts of the options A, B, …; None when unknown.
    notes: see `Kept`.
    """

    data_source: str
    split: str
    index: int
    source_id: str
    question: str
    answer: str
    images: tuple[ImageLoader, ...]
    choices: tuple[str, ...] | None = None
    category: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """An opened corpus.

    indices: numbers of the rows to be prepared, ascending.
    load: gives all rows, their cells as the source has them; its argument is a folder for a cache.
    row: makes the row of its number and its cells; one that lacks a question or an answer is
        dropped.
    stages: rows by stage up to `indices`, in order.
    files: bytes of each file that is read, to tell one copy of the source from another.
    details: what the report says of the source beside its rows.
    """

    data_source: str
    split: str
    indices: Sequence[int]
    load: Callable[[Path], datasets.Dataset]
    row: Callable[[int, Mapping[str, Any]], RawRow | Dropped]
    stages: Mapping[str, int]
    files: Mapping[str, int]
    details: Mapping[str, str] = field(default_factory=dict)
