"""The parquet files of a source: which there are, and whether they have the columns."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.data.corpora.cached_rows import parquet_rows
from care_verl.data.corpora.source import SourceError

_SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?\.parquet")


@dataclass(frozen=True)
class ParquetFiles:
    """Files whose rows are numbered through from 0.

    columns: those that every file has. absent: optional ones that a file lacks.
    """

    paths: tuple[Path, ...]
    columns: tuple[str, ...]
    absent: tuple[str, ...]
    rows: int

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by name."""
        return {path.name: path.stat().st_size for path in self.paths}

    def load(self, cache: Path) -> datasets.Dataset:
        """All rows. Raises SourceError when a file is damaged."""
        files = [parquet_rows(path, self.columns, cache) for path in self.paths]
        return datasets.concatenate_datasets(files)

    def column(self, name: str) -> list[Any]:
        """One column's values, of all rows. Raises SourceError when a file is damaged."""
        return [value for path in self.paths for value in _column(path, name)]


def parquet_files(
    paths: Sequence[Path], columns: Sequence[str], optional: Sequence[str] = ()
) -> ParquetFiles:
    """The files, looked into.

    columns: those that must be there. optional: those that are read where every file has them.

    Raises SourceError when a column is missing, or a file is no whole parquet file.
    """
    rows, present = 0, set(optional)
    for path in paths:
        found, number = _names_and_rows(path)
        missing = [column for column in columns if column not in found]
        if missing:
            raise SourceError(
                f"{path}: column {', '.join(missing)} missing; found {', '.join(found)}; "
                f"expected {', '.join(columns)}. Fetch the file again, or rename its columns."
            )
        rows += number
        present &= set(found)
    absent = tuple(column for column in optional if column not in present)
    here = tuple(column for column in optional if column in present)
    return ParquetFiles(tuple(paths), (*columns, *here), absent, rows)


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


def _names_and_rows(path: Path) -> tuple[list[str], int]:
    try:
        with pq.ParquetFile(path) as file:
            return file.schema_arrow.names, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _column(path: Path, name: str) -> list[Any]:
    try:
        return pq.read_table(path, columns=[name])[name].to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path}: damaged ({error}). Fetch the file again.")
