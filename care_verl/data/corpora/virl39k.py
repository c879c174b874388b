"""ViRL39K, as TIGER-Lab/ViRL39K has it on the hub: one parquet file, and the images in a zip file.

Gold answers stand in `\\boxed{…}`; the box is taken off where its braces balance. Options of
multiple choice stand in the question's text and are read from it where that is unambiguous.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from care_verl.data.corpora.boxed import unboxed
from care_verl.data.corpora.choices import choices_in
from care_verl.data.corpora.hub import located
from care_verl.data.corpora.image_store import FolderImages, ZippedImages, open_images
from care_verl.data.corpora.parquet_files import parquet_files
from care_verl.data.corpora.selection import sizes
from care_verl.data.corpora.source import RawRow, Source, SourceError
from care_verl.data.corpora.units import Dropped

DATA_SOURCE = "virl39k"
# The only split there is.
SPLIT = "train"
_ROWS = "39Krelease.parquet"
_ARCHIVE = "images.zip"
_UNPACKED = "images"
_COLUMNS = ("question", "answer", "category", "qid", "image")


def open_virl39k(source: str) -> Source:
    """Open the corpus; its images stay in the zip file, or in a folder `images` in its place.

    Raises SourceError when files or columns are missing, or the zip file is cut short.
    """
    folder = located(source, [_ROWS, _ARCHIVE])
    if not (folder / _ROWS).is_file():
        raise SourceError(f"{folder}: no file {_ROWS}. Place it there as it is on the hub")
    table = parquet_files([folder / _ROWS], _COLUMNS)
    images, files = open_images(folder, _ARCHIVE, _UNPACKED)
    return Source(
        data_source=DATA_SOURCE,
        split=SPLIT,
        indices=range(table.rows),
        load=table.load,
        row=partial(_row, images=images),
        stages={"source rows": table.rows},
        files=sizes([*table.paths, *files]),
    )


def _row(
    index: int, cells: Mapping[str, Any], images: ZippedImages | FolderImages
) -> RawRow | Dropped:
    source_id = f"{SPLIT}-{index}" if cells["qid"] is None else str(cells["qid"])
    if not cells["question"]:
        return Dropped(source_id, "no question")
    if not cells["answer"] or not unboxed(cells["answer"]):
        return Dropped(source_id, "no answer")
    answer = unboxed(cells["answer"])
    return RawRow(
        data_source=DATA_SOURCE,
        split=SPLIT,
        index=index,
        source_id=source_id,
        question=cells["question"],
        answer=answer,
        images=tuple(images.loader(name) for name in _names(cells["image"])),
        choices=choices_in(cells["question"], answer),
        category=cells["category"],
    )


def _names(cell: Sequence[str] | str | None) -> Sequence[str]:
    return [cell] if isinstance(cell, str) else [name for name in cell or () if name]
