"""A parquet file's rows by their numbers, a few in memory at a time, without a copy of the file."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.data.corpora.parquet_files import parquet_files
from care_verl.data.corpora.source import SourceError

# Rows hold images of up to some megabytes: a batch is what stays in memory.
_BATCH_ROWS = 16


class ParquetRows:
    """The rows of a parquet file, numbered from 0.

    columns: those that must be there. optional: those that are read where the file has them.

    Raises SourceError when a column is missing or the file is damaged.
    """

    def __init__(self, path: Path, columns: Sequence[str], optional: Sequence[str]) -> None:
        found = parquet_files([path], columns, optional)
        self._path, self._columns, self._rows = path, list(found.columns), found.rows

    def __len__(self) -> int:
        return self._rows

    def rows(self, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """The rows of these ascending numbers, as dicts of the columns."""
        try:
            # Pages are read as they are needed; else a whole row group's images would be in memory.
            with pq.ParquetFile(self._path, buffer_size=1 << 20, pre_buffer=False) as file:
                yield from self._rows_of(file, indices)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{self._path}: damaged ({error}). Fetch the file again.") from error

    def _rows_of(self, file: pq.ParquetFile, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        first = 0
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            if here := indices[bisect_left(indices, first) : bisect_left(indices, end)]:
                yield from self._rows_of_group(file, group, first, here)
            first = end

    def _rows_of_group(
        self, file: pq.ParquetFile, group: int, first: int, wanted: Sequence[int]
    ) -> Iterator[dict[str, Any]]:
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=self._columns):
            end = first + batch.num_rows
            for index in wanted[bisect_left(wanted, first) : bisect_left(wanted, end)]:
                yield batch.slice(index - first, 1).to_pylist()[0]
            if end > wanted[-1]:
                return
            first = end
