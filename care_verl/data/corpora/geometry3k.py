"""Geometry3K, as hiyouga/geometry3k has it on the hub.

The gold answer is the column `answer`, a value in LaTeX such as `2 \\sqrt { 221 }`. Copies that
hold the four options of the original too (`choices`, and their letter in `ground_truth`) keep the
options in `extra_info`, so that an answer by letter can be scored; the gold stays the value. A row
whose letter names an option other than its answer keeps no options, for one of the two is wrong.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from care_verl.data.corpora.hub import located
from care_verl.data.corpora.image_store import embedded_image
from care_verl.data.corpora.parquet_files import parquet_files, shards
from care_verl.data.corpora.row_outcome import Dropped
from care_verl.data.corpora.source import RawRow, Source

DATA_SOURCE = "geometry3k"
_COLUMNS = ("images", "problem", "answer")
_OPTIONAL = ("id", "choices", "ground_truth")


def open_geometry3k(source: str, split: str) -> Source:
    """Open a split (`train`, `validation`, `test`).

    Raises SourceError when files or columns are missing.
    """
    folder = located(source, [f"data/{split}-*.parquet"])
    table = parquet_files(shards(folder / "data", split), _COLUMNS, _OPTIONAL)
    absent = ", ".join(table.absent)
    return Source(
        data_source=DATA_SOURCE,
        split=split,
        indices=range(table.rows),
        load=table.load,
        row=partial(_row, split),
        stages={"source rows": table.rows},
        files=table.sizes,
        details={"columns that this copy lacks": absent} if absent else {},
    )


def _row(split: str, index: int, cells: Mapping[str, Any]) -> RawRow | Dropped:
    named = cells.get("id")
    source_id = f"{split}-{index}" if named is None else f"{split}-{named}"
    if not cells["problem"]:
        return Dropped(source_id, "no question")
    if not cells["answer"]:
        return Dropped(source_id, "no answer")
    choices, notes = _choices(cells)
    return RawRow(
        data_source=DATA_SOURCE,
        split=split,
        index=index,
        source_id=source_id,
        question=cells["problem"],
        answer=cells["answer"].strip(),
        images=tuple(embedded_image(cell) for cell in cells["images"] or ()),
        choices=choices,
        notes=notes,
    )


def _choices(cells: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The options, when the letter and the answer name the same one; and a note when they differ.

    Texts are compared without their spaces alone: the options are the very source of the answers.
    """
    choices, letter = cells.get("choices"), cells.get("ground_truth")
    if not choices or not letter:
        return None, ()
    number = ord(letter.strip().upper()[:1] or "\0") - ord("A")
    named = str(choices[number]) if 0 <= number < len(choices) else None
    if named is None or "".join(named.split()) != "".join(cells["answer"].split()):
        return None, ("letter and answer differ: options left out",)
    return tuple(str(choice) for choice in choices), ()
