"""Rows on disk as `datasets` keeps them: Arrow files in a cache that interrupted work goes on with.

A mapped page counts as memory of the process until it is unmapped, so a corpus that is read from
one end to the other would seem to be in memory as a whole. Rows are mapped anew for each shard.
"""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
from datasets.exceptions import DatasetGenerationError
from datasets.fingerprint import Hasher

from care_verl.common.files import whole_file
from care_verl.data.corpora.source import SourceError

SHARD_ROWS = 512
ROW_GROUP_ROWS = 128
"""Images make rows large, and readers hold a whole row group."""
_ROWS_AT_ONCE = 32
# Read ahead, pyarrow would hold the images of every row group at once.
_FEW_AT_ONCE = pds.ParquetFragmentScanOptions(
    pre_buffer=False, use_buffered_stream=True, buffer_size=1 << 20
)

Function = Callable[[int, Mapping[str, Any]], Mapping[str, Any]]
"""Makes the columns of a row of its number and its cells."""


def cache_folder(out: Path) -> Path:
    """Where the cache of the folder `out` is until `out` is written."""
    return out.with_name(f".{out.name}.cache")


def parquet_rows(path: Path, columns: Sequence[str], cache: Path) -> datasets.Dataset:
    """The columns of a parquet file, images as the bytes that they are stored as.

    Raises SourceError when the file is damaged.
    """
    with _errors_explained(str(path)):
        return datasets.Dataset.from_parquet(
            # The library takes a path for a pattern.
            escape(str(path)),
            features=_plain_features(path, columns),
            columns=list(columns),
            cache_dir=str(cache),
            batch_size=_ROWS_AT_ONCE,
            fragment_scan_options=_FEW_AT_ONCE,
        )


def streamed_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The columns of a parquet file once, in order, without a cache."""
    yield from datasets.IterableDataset.from_parquet(
        escape(str(path)),
        features=_plain_features(path, columns),
        columns=list(columns),
        batch_size=_ROWS_AT_ONCE,
        fragment_scan_options=_FEW_AT_ONCE,
    )


def generated_rows(
    generator: Callable[[], Iterable[Mapping[str, Any]]],
    schema: pa.Schema,
    cache: Path,
    made_with: object,
) -> datasets.Dataset:
    """The rows that a generator gives; `made_with` as in `mapped`.

    Raises SourceError of the generator as it is.
    """
    with _errors_explained("source"):
        return datasets.Dataset.from_generator(
            generator,
            features=datasets.Features.from_arrow_schema(schema),
            cache_dir=str(cache),
            fingerprint=Hasher.hash(made_with),
        )


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
        few = pickle.loads(packed).select(range(first, min(first + ROW_GROUP_ROWS, len(rows))))
        yield few.with_format("arrow")[:]


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


def _plain_features(path: Path, columns: Sequence[str]) -> datasets.Features:
    """Of the file's own types: those of `datasets` that a file may name would decode its images."""
    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise SourceError(f"{path}: damaged ({error}). Fetch or make the file again.") from error
    return datasets.Features.from_arrow_schema(pa.schema([schema.field(name) for name in columns]))


@contextmanager
def _errors_explained(source: str) -> Iterator[None]:
    """In place of the library's own error the one that it wraps, which says what was found."""
    try:
        yield
    except DatasetGenerationError as error:
        cause = error.__cause__
        if isinstance(cause, SourceError) or (isinstance(cause, OSError) and cause.errno):
            raise cause from None
        raise SourceError(
            f"{source}: damaged ({cause}). Fetch the file again, or make it anew."
        ) from error


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
