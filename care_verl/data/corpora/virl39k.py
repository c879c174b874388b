"""ViRL39K, as TIGER-Lab/ViRL39K has it on the hub: one parquet file, and the images in a zip file.

Gold answers stand in `\\boxed{…}`; the box is taken off where its braces balance. Options of
multiple choice stand in the question's text and are read from it where that is unambiguous.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from care_verl.data.corpora.choices import choices_in
from care_verl.data.corpora.hub import located
from care_verl.data.corpora.image_store import FolderImages, ZippedImages, open_images
from care_verl.data.corpora.parquet_files import parquet_files
from care_verl.data.corpora.row_outcome import Dropped
from care_verl.data.corpora.source import RawRow, Source, SourceError
from care_verl.verifier.boxes import closing_brace

DATA_SOURCE = "virl39k"
# The only split there is.
SPLIT = "train"
_ROWS = "39Krelease.parquet"
_ARCHIVE = "images.zip"
_UNPACKED = "images"
_BOX = "\\boxed{"
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
        files=table.sizes | {path.name: path.stat().st_size for path in files},
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


def unboxed(answer: str) -> str:
    """What stands in the box when the whole answer is one box with balanced braces, else `answer`.

    `$` around the box goes with it. A backslash makes a brace a sign, which does not count. What is
    left boxed by unbalanced braces is for the check of gold answers to refuse.
    """
    stripped = answer.strip()
    inner = stripped.strip("$").strip()
    if not inner.startswith(_BOX):
        return stripped
    end = closing_brace(inner, len(_BOX) - 1)
    return inner[len(_BOX) : end].strip() if end == len(inner) - 1 else stripped


def _names(cell: Sequence[str] | str | None) -> Sequence[str]:
    return [cell] if isinstance(cell, str) else [name for name in cell or () if name]
