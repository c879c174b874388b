"""Fingerprints of a prepared corpus's rows: all that a mixture compares, without the images.

To look at every image is what takes a mixture its time, so they are cached (`cached_rows`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.data.corpora.cached_rows import mapped
from care_verl.data.corpora.fingerprints import (
    ImageFingerprint,
    UnreadableImageError,
    image_fingerprint,
    question_key,
)
from care_verl.data.corpora.report import versions
from care_verl.data.corpora.schema import RL_SCHEMA

TRAIN_FILE = "train.parquet"
_COLUMNS = pa.schema(
    {
        "source": pa.string(),
        "source_id": pa.string(),
        "question": pa.string(),
        "gold": pa.string(),
        "choices": pa.list_(pa.string()),
        "images": pa.list_(pa.struct({"pixels": pa.binary(), "look": pa.binary()})),
    }
)


@dataclass(frozen=True)
class RowFingerprint:
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
    images: tuple[ImageFingerprint, ...]

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


def row_fingerprints(path: Path, rows: datasets.Dataset) -> Iterator[RowFingerprint]:
    """The fingerprint of each row of a prepared corpus, in order; `rows` are those of the file.

    Raises ValueError with file and row when an image does not open.
    """
    made_with = versions("numpy", "pillow")
    shards = mapped(rows, range(len(rows)), partial(_columns, path), _COLUMNS, made_with)
    cells = (cells for shard in shards for cells in shard.to_list())
    return (_row_fingerprint(path, number, own) for number, own in enumerate(cells))


def image_fingerprints(
    images: Sequence[bytes], path: Path, row: int
) -> tuple[ImageFingerprint, ...]:
    """The fingerprints of a row's images. Raises ValueError with file and row if one is broken."""
    prints = []
    for number, data in enumerate(images):
        try:
            prints.append(image_fingerprint(data))
        except UnreadableImageError as error:
            raise ValueError(
                f"{path}, row {row}: image {number} does not open ({error}). "
                "Repair or remove the row, or make the file anew."
            ) from error
    return tuple(prints)


def _columns(path: Path, number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    info = row["extra_info"]
    prints = image_fingerprints([image["bytes"] for image in row["images"] or []], path, number)
    return {
        "source": row["data_source"],
        "source_id": info["source_id"],
        "question": question_key(info["question"]),
        "gold": row["reward_model"]["ground_truth"].strip(),
        "choices": info["choices"],
        "images": [{"pixels": one.pixels, "look": one.look.tobytes()} for one in prints],
    }


def _row_fingerprint(path: Path, number: int, cells: Mapping[str, Any]) -> RowFingerprint:
    images = tuple(
        ImageFingerprint(image["pixels"], np.frombuffer(image["look"], dtype=np.uint64))
        for image in cells["images"]
    )
    choices = None if cells["choices"] is None else tuple(cells["choices"])
    return RowFingerprint(path, number, **{**cells, "choices": choices, "images": images})
