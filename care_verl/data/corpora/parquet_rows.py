"""Rows of parquet files by their numbers, a few at a time."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.data.corpora.source import SourceError

# Rows hold images of up to some megabytes: a batch is what stays in memory.
_BATCH_ROWS = 16
_SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?\.parquet")


class ParquetRows:
    """The rows of some parquet files, numbered through from 0.

    columns: those that must be there. optional: those that are read where every file has them.
    """

    def __init__(self, files: Sequence[Path], columns: Sequence[str], optional: Sequence[str] = ()):
        self.files = tuple(files)
        self._first: list[int] = [0]
        present = set(optional)
        for path in self.files:
            with _opened(path) as file:
                found = file.schema_arrow.names
                self._first.append(self._first[-1] + file.metadata.num_rows)
            missing = [column for column in columns if column not in found]
            if missing:
                raise SourceError(
                    f"{path}: column {', '.join(missing)} missing; found {', '.join(found)}; "
                    f"expected {', '.join(columns)}. Fetch the file again, or rename its columns."
                )
            present &= set(found)
        self.absent = tuple(column for column in optional if column not in present)
        self.columns = (*columns, *(column for column in optional if column in present))

    def __len__(self) -> int:
        return self._first[-1]

    def column(self, name: str) -> Iterator[Any]:
        """One column's values, of all rows."""
        for path in self.files:
            with _reading(path), _opened(path) as file:
                for batch in file.iter_batches(columns=[name]):
                    yield from batch.column(0).to_pylist()

    def rows(self, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """The rows of these ascending numbers, as dicts of the columns."""
        for path, first, end in zip(self.files, self._first, self._first[1:], strict=False):
            wanted = indices[bisect_left(indices, first) : bisect_left(indices, end)]
            if wanted:
                yield from self._rows_of_file(path, [index - first for index in wanted])

    def _rows_of_file(self, path: Path, wanted: Sequence[int]) -> Iterator[dict[str, Any]]:
        with _reading(path), _opened(path) as file:
            first = 0
            for group in range(file.num_row_groups):
                end = first + file.metadata.row_group(group).num_rows
                here = wanted[bisect_left(wanted, first) : bisect_left(wanted, end)]
                if here:
                    yield from self._rows_of_group(file, group, [index - first for index in here])
                first = end

    def _rows_of_group(
        self, file: pq.ParquetFile, group: int, wanted: Sequence[int]
    ) -> Iterator[dict[str, Any]]:
        first = 0
        columns = list(self.columns)
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns):
            end = first + batch.num_rows
            here = wanted[bisect_left(wanted, first) : bisect_left(wanted, end)]
            for index in here:
                yield batch.slice(index - first, 1).to_pylist()[0]
            if end > wanted[-1]:
                return
            first = end


class _reading:
    """Turns pyarrow's complaint about damaged data into one that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException | OSError):
            raise SourceError(f"{self._path}: damaged ({error}). Fetch the file again.") from error


def _opened(path: Path) -> pq.ParquetFile:
    with _reading(path):
        # Pages are read as they are needed; else a whole row group's images would be in memory.
        return pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)


def shards(folder: Path, split: str) -> list[Path]:
    """The parquet files of a split in the hub's layout, `<split>-00000-of-00003….parquet`, sorted.

    Raises SourceError when the split is not there, or not all of its files are.
    """
    found = {path: _SHARD.fullmatch(path.name) for path in sorted(folder.glob("*.parquet"))}
    matches = {path: match for path, match in found.items() if match and match["split"] == split}
    if not matches:
        splits = sorted({match["split"] for match in found.values() if match})
        raise SourceError(
            f"{folder}: no file {split}-00000-of-….parquet; splits found: "
            f"{', '.join(splits) or 'none'}. Fetch the split's files, or name another with --split."
        )
    counts = {int(match["count"]) for match in matches.values()}
    numbers = sorted(int(match["number"]) for match in matches.values())
    if len(counts) > 1 or numbers != list(range(max(counts))):
        names = ", ".join(path.name for path in matches)
        raise SourceError(
            f"{folder}: the files of {split} are not one whole set: found {names}; "
            f"expected numbers 00000 to {max(counts) - 1:05d}, each once. Fetch the missing ones."
        )
    return list(matches)
