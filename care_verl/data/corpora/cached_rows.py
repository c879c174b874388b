"""Rows on disk as `datasets` keeps them: Arrow files in a cache that interrupted work goes on with.

A mapped page counts as memory of the process until it is unmapped, so a corpus that is read from
one end to the other would seem to be in memory as a whole. Rows are mapped anew for each shard.
"""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.exceptions import DatasetGenerationError
from datasets.fingerprint import Hasher

from care_verl.common.files import whole_file
from care_verl.data.corpora.source import SourceError

SHARD_ROWS = 512
ROW_GROUP_ROWS = 128
"""Images make rows large, and readers hold a whole row group."""
_ROWS_AT_ONCE = 32

Function = Callable[[int, Mapping[str, Any]], Mapping[str, Any]]
"""Makes the columns of a row of its number and its cells."""


def cache_folder(out: Path) -> Path:
    """Where the cache of the folder `out` is until `out` is written."""
    return out.with_name(f".{out.name}.cache")


def parquet_rows(path: Path, columns: Sequence[str], cache: Path) -> datasets.Dataset:
    """The columns of a parquet file, images as the bytes that they are stored as.

    Raises SourceError when the file is damaged.
    """
    # In place of the library's own reader: it decodes what a file calls an image, and reads ahead
    # without end, 230 MB of a file of 850 MB.
    stat = path.stat()
    return generated_rows(
        str(path),
        lambda: streamed_rows(path, columns),
        pa.schema([pq.read_schema(path).field(name) for name in columns]),
        cache,
        [str(path), stat.st_size, stat.st_mtime_ns, list(columns)],
    )


def streamed_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The columns of a parquet file, row by row in order, with few in memory."""
    # Read ahead, pyarrow would hold the images of every row group at once.
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(columns), use_threads=False):
            yield from batch.to_pylist()


def generated_rows(
    source: str,
    generator: Callable[[], Iterable[Mapping[str, Any]]],
    schema: pa.Schema,
    cache: Path,
    made_with: object,
) -> datasets.Dataset:
    """The rows that a generator gives, in `schema`.

    source: for messages. made_with: all that decides the rows, see `mapped`.

    Raises SourceError of the generator as it is, and one with the name of the source for any other.
    """
    try:
        return datasets.Dataset.from_generator(
            generator,
            features=datasets.Features.from_arrow_schema(schema),
            cache_dir=str(cache),
            fingerprint=Hasher.hash(made_with),
            # A page for each batch is mapped as long as the rows are open.
            writer_batch_size=ROW_GROUP_ROWS,
        )
    except DatasetGenerationError as error:
        cause = error.__cause__
        if isinstance(cause, SourceError) or (isinstance(cause, OSError) and cause.errno):
            raise cause from None
        raise SourceError(
            f"{source}: damaged ({cause}). Fetch the file again, or make it anew."
        ) from error


def mapped(
    rows: datasets.Dataset, function: Function, schema: pa.Schema, made_with: object
) -> Iterator[datasets.Dataset]:
    """What `function` makes of each row, a shard after the other; those in the cache are not made.

    function: called by several threads at once, with the place in `rows` and the row's cells.
    made_with: all that decides what it makes, of any types that can be pickled.
    """
    features = datasets.Features.from_arrow_schema(schema)
    packed = pickle.dumps(rows)
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def together(
            cells: Mapping[str, Sequence[Any]], places: Sequence[int], first: int
        ) -> dict[str, list[Any]]:
            each = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
            made = list(pool.map(function, (first + place for place in places), each))
            return {name: [row[name] for row in made] for name in schema.names}

        for first in range(0, len(rows), SHARD_ROWS):
            shard = pickle.loads(packed).select(range(first, min(first + SHARD_ROWS, len(rows))))
            with _without_bars():
                made = shard.map(
                    together,
                    with_indices=True,
                    batched=True,
                    batch_size=_ROWS_AT_ONCE,
                    writer_batch_size=_ROWS_AT_ONCE,
                    remove_columns=rows.column_names,
                    features=features,
                    fn_kwargs={"first": first},
                    new_fingerprint=Hasher.hash([made_with, first, len(shard)]),
                )
            yield made


def tables(rows: datasets.Dataset) -> Iterator[pa.Table]:
    """The rows in order, as tables of at most `ROW_GROUP_ROWS`."""
    packed = pickle.dumps(rows)
    for first in range(0, len(rows), ROW_GROUP_ROWS):
        here = range(first, min(first + ROW_GROUP_ROWS, len(rows)))
        # Copied, rows from all over the file keep none of its pages while the next are read.
        yield pickle.loads(packed).select(here).with_format("arrow")[:].combine_chunks()


def write_parquet(path: Path, rows: Iterable[pa.Table], schema: pa.Schema) -> int:
    """Write tables to a file that is whole or absent; each is a row group. Returns the rows."""
    written = 0
    # Encoded images do not shrink; fast compression serves the text beside them.
    with (
        whole_file(path) as file,
        pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer,
    ):
        for table in rows:
            writer.write_table(table.select(schema.names).cast(schema))
            written += len(table)
    return written


@contextmanager
def _without_bars() -> Iterator[None]:
    """The library's bar of one shard would be one of a hundred."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
