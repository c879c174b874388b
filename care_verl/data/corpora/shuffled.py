"""Rows of several files written in any order, with few of them in memory.

The target is cut into sections of consecutive positions. The sources are read once, from first row
to last, and each row goes to the scratch file of its section; then each section is read, sorted and
written. In memory stand one batch of the sources and one section, on disk a second copy of the
rows while the work goes on. The order is any permutation, not one within a window.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from care_verl.common.files import whole_file
from care_verl.data.corpora.parts import ROW_GROUP_ROWS, parquet_writer

_SECTION_ROWS = 2 * ROW_GROUP_ROWS
# Each section has an open file while the sources are read; systems allow about a thousand.
_MOST_SECTIONS = 256
_POSITION = "position"

Positions = npt.NDArray[np.int64]


def write_ordered(
    batches: Iterable[tuple[pa.RecordBatch, Positions]], size: int, path: Path, schema: pa.Schema
) -> None:
    """Write `size` rows to a parquet file, each at its position.

    batches: rows and their positions, (rows of the batch,): each position from 0 to `size` - 1 once
        in all, negative for rows to be left out. The scratch files lie beside `path`.
    """
    section_rows = max(_SECTION_ROWS, -(-size // _MOST_SECTIONS))
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".sections-") as folder:
        files = [Path(folder) / str(number) for number in range(-(-size // section_rows))]
        _scatter(batches, files, section_rows, schema)
        with whole_file(path) as file, parquet_writer(file, schema) as writer:
            for section in files:
                writer.write_table(_in_order(section), ROW_GROUP_ROWS)
                section.unlink()


def _scatter(
    batches: Iterable[tuple[pa.RecordBatch, Positions]],
    files: list[Path],
    section_rows: int,
    schema: pa.Schema,
) -> None:
    """Write each row, with its position, to the file of its section."""
    placed_schema = schema.append(pa.field(_POSITION, pa.int64()))
    with ExitStack() as stack:
        writers = [stack.enter_context(pa.ipc.new_stream(file, placed_schema)) for file in files]
        for batch, positions in batches:
            placed = batch.append_column(_POSITION, pa.array(positions))
            for section, members in _by_section(positions, section_rows):
                writers[section].write_batch(placed.take(pa.array(members)))


def _by_section(positions: Positions, section_rows: int) -> Iterator[tuple[int, Positions]]:
    """The sections that a batch's rows belong to, each with the rows' places in the batch."""
    owners = positions // section_rows
    for section in np.unique(owners[positions >= 0]).tolist():
        yield section, np.flatnonzero(owners == section)


def _in_order(section: Path) -> pa.Table:
    with pa.OSFile(str(section)) as file, pa.ipc.open_stream(file) as reader:
        table = reader.read_all()
    return table.sort_by(_POSITION).drop_columns([_POSITION])
