"""Fingerprints of a prepared corpus's rows: all that a mixture compares, without the images."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.data.corpora.fingerprints import (
    ImagePrint,
    UnreadableImageError,
    image_print,
    question_key,
)
from care_verl.data.corpora.schema import RL_SCHEMA

TRAIN_FILE = "train.parquet"
BATCH_ROWS = 128
_COLUMNS = ["data_source", "images", "reward_model", "extra_info"]


@dataclass(frozen=True)
class RowPrint:
    """One row: where it stands, and what it is compared by.

    question: the key of its question (`question_key`). images: in the row's order.
    """

    file: Path
    row: int
    source: str
    source_id: str
    question: str
    gold: str
    choices: tuple[str, ...] | None
    images: tuple[ImagePrint, ...]

    def place(self) -> dict[str, Any]:
        """Where the row stands, for a report."""
        return {
            "source": self.source,
            "source_id": self.source_id,
            "file": str(self.file),
            "row": self.row,
        }


def train_file(folder: Path) -> Path:
    """The training rows of a prepared corpus.

    Raises:
        FileNotFoundError: the folder has no train.parquet.
        ValueError: it is damaged, or its columns are not those of a prepared corpus.
    """
    path = folder / TRAIN_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no {TRAIN_FILE}; expected a folder that `care-verl data prepare` made"
        )
    found = parquet_schema(path)
    if found.equals(RL_SCHEMA):
        return path
    missing = [name for name in RL_SCHEMA.names if name not in found.names]
    other = [
        f"{name} is {found.field(name).type}, expected {RL_SCHEMA.field(name).type}"
        for name in RL_SCHEMA.names
        if name in found.names and found.field(name).type != RL_SCHEMA.field(name).type
    ]
    problem = [f"missing column {name}" for name in missing] + other
    raise ValueError(
        f"{path}: {'; '.join(problem) or 'columns in another order, or unknown ones'}. It has "
        f"{', '.join(found.names)}. Make it anew with `care-verl data prepare`."
    )


def parquet_schema(path: Path) -> pa.Schema:
    """The columns of a parquet file. Raises ValueError with its name when it is damaged."""
    try:
        return pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is no whole parquet file ({error}). Make it anew.") from error


def row_batches(
    path: Path, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of a file's rows, each with the number of its first row; few are held at a time."""
    first = 0
    # Read ahead, pyarrow would hold the images of every row group at once.
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
            yield first, batch
            first += batch.num_rows


def row_prints(path: Path, start: int = 0) -> Iterator[RowPrint]:
    """The fingerprint of each row of a prepared corpus, in order, from the row `start` on.

    Raises ValueError with file and row when an image does not open.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first, batch in row_batches(path, _COLUMNS):
            numbers = range(max(start, first), first + batch.num_rows)
            if numbers:
                rows = batch.slice(numbers.start - first).to_pylist()
                yield from pool.map(_row_print, [path] * len(rows), numbers, rows)


def image_prints(images: Sequence[bytes], path: Path, row: int) -> tuple[ImagePrint, ...]:
    """The fingerprints of a row's images. Raises ValueError with file and row if one is broken."""
    prints = []
    for number, data in enumerate(images):
        try:
            prints.append(image_print(data))
        except UnreadableImageError as error:
            raise ValueError(
                f"{path}, row {row}: image {number} does not open ({error}). "
                "Repair or remove the row, or make the file anew."
            ) from error
    return tuple(prints)


def _row_print(path: Path, number: int, row: dict[str, Any]) -> RowPrint:
    info = row["extra_info"]
    return RowPrint(
        file=path,
        row=number,
        source=row["data_source"],
        source_id=info["source_id"],
        question=question_key(info["question"]),
        gold=row["reward_model"]["ground_truth"].strip(),
        choices=None if info["choices"] is None else tuple(info["choices"]),
        images=image_prints([image["bytes"] for image in row["images"] or []], path, number),
    )
