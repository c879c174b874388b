"""Parts of a corpus on disk: each is whole or absent, and a whole one is never written again.

Part number k holds what became of the source's rows k·N to (k+1)·N - 1. Its rows stand in a parquet
file, its counts in a JSON file that is renamed into place last: where the JSON is, the part is
whole.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.common.files import whole_file, write_text
from care_verl.data.corpora.units import Dropped, Kept, Unit

# Images make rows large: readers hold a whole row group, so it is kept small.
ROW_GROUP_ROWS = 128
# Encoded images do not shrink; fast compression serves the text beside them.
_COMPRESSION = "zstd"


@dataclass(frozen=True)
class PartCounts:
    """What a part's JSON holds: rows kept, rows kept by note, and the rows dropped."""

    kept: int
    notes: dict[str, int]
    dropped: list[dict[str, str]]


def rows_path(folder: Path, number: int) -> Path:
    """Where the rows of a part stand."""
    return folder / f"part-{number:06d}.parquet"


def counts_path(folder: Path, number: int) -> Path:
    """Where the counts of a part stand; the part is whole when this file exists."""
    return folder / f"part-{number:06d}.json"


def write_part(
    folder: Path, number: int, units: Iterable[Unit], schema: pa.Schema, moved: Callable[[], None]
) -> None:
    """Write the units of one part; `moved` is called after each."""
    kept, notes, dropped = 0, Counter[str](), list[dict[str, str]]()
    with whole_file(rows_path(folder, number)) as file, parquet_writer(file, schema) as writer:
        waiting: list[dict[str, Any]] = []
        for unit in units:
            if isinstance(unit, Dropped):
                dropped.append(asdict(unit))
            else:
                _add(unit, waiting, notes)
                kept += 1
            if len(waiting) == ROW_GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
                waiting.clear()
            moved()
        if waiting:
            writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
    counts = PartCounts(kept, dict(sorted(notes.items())), dropped)
    write_text(counts_path(folder, number), json.dumps(asdict(counts), ensure_ascii=False))


def read_counts(folder: Path, number: int) -> PartCounts:
    """The counts of a whole part."""
    return PartCounts(**json.loads(counts_path(folder, number).read_text(encoding="utf-8")))


def row_groups(folder: Path, number: int) -> Iterator[pa.Table]:
    """The rows of a whole part, a row group at a time."""
    with pq.ParquetFile(rows_path(folder, number)) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group)


def parquet_writer(file: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer whose output depends on the rows and on pyarrow's version alone."""
    return pq.ParquetWriter(file, schema, compression=_COMPRESSION, use_dictionary=False)


def _add(unit: Kept, waiting: list[dict[str, Any]], notes: Counter[str]) -> None:
    waiting.append(unit.row)
    notes.update(unit.notes)
