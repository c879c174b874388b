"""Rows on disk as `datasets` keeps them: Arrow files in a cache that interrupted work goes on with.

A mapped page counts as memory of the process until it is unmapped, so a corpus that is read from
one end to the other would seem to be in memory as a whole. Files are mapped anew for each shard.
"""

import os
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
"""Makes columns of a row's place and its cells."""


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
    rows: datasets.Dataset,
    places: Sequence[int],
    function: Function,
    schema: pa.Schema,
    made_with: object,
) -> Iterator[datasets.Dataset]:
    """What `function` makes of the rows at these places, a shard after the other.

    A shard that is in the cache is not made again.

    function: called by several threads at once, with a place and the cells of its row.
    made_with: all that decides what it makes, beside rows and places; JSON values.
    """
    features = datasets.Features.from_arrow_schema(schema)
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def together(
            cells: Mapping[str, Sequence[Any]], numbers: Sequence[int], here: Sequence[int]
        ) -> dict[str, list[Any]]:
            each = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
            made = list(pool.map(function, (here[number] for number in numbers), each))
            return {name: [row[name] for row in made] for name in schema.names}

        for here in _pieces(places, SHARD_ROWS):
            with _without_bars():
                made = _mapped_anew(rows, here).map(
                    together,
                    with_indices=True,
                    batched=True,
                    batch_size=_ROWS_AT_ONCE,
                    writer_batch_size=_ROWS_AT_ONCE,
                    remove_columns=rows.column_names,
                    features=features,
                    fn_kwargs={"here": here},
                    new_fingerprint=Hasher.hash([made_with, list(here)]),
                )
            yield made


def tables(rows: datasets.Dataset, places: Sequence[int]) -> Iterator[pa.Table]:
    """The rows at these places, in this order, as tables of at most `ROW_GROUP_ROWS`."""
    for here in _pieces(places, ROW_GROUP_ROWS):
        # Rows from all over a file bring their neighbours' pages with them: few rows a mapping, and
        # copied, so that none is mapped while the next are read.
        few = (_mapped_anew(rows, some) for some in _pieces(here, _ROWS_AT_ONCE))
        yield pa.concat_tables(own.with_format("arrow")[:].combine_chunks() for own in few)


def write_parquet(path: Path, rows: Iterable[pa.Table], schema: pa.Schema) -> int:
    """Write tables to a file that is whole or absent; each is a row group. Returns the rows."""
    written = 0
    # Encoded images do not shrink; fast compression serves the text beside them.
    with (
        whole_file(path) as file,
        pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer,
    ):
        # The library reads a file by the size of its first row group, which must not be none.
        for table in filter(len, rows):
            writer.write_table(table.select(schema.names).cast(schema))
            written += len(table)
    return written


def _pieces(places: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (places[first : first + size] for first in range(0, len(places), size))


def _mapped_anew(rows: datasets.Dataset, places: Sequence[int]) -> datasets.Dataset:
    """The rows at these places; what is read of them is unmapped with the data set returned."""
    files = [datasets.Dataset.from_file(file["filename"]) for file in rows.cache_files]
    return datasets.concatenate_datasets(files).select(places)


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
