"""ChartQA, as HuggingFaceM4/ChartQA has it on the hub.

The paper's 7,398 rows are most likely the training rows whose questions people wrote. A row's
labels are a list; the first one is the gold answer, and rows that have several are counted.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from care_verl.data.corpora.hub import located
from care_verl.data.corpora.image_store import embedded_image
from care_verl.data.corpora.parquet_files import parquet_files, shards
from care_verl.data.corpora.row_outcome import Dropped
from care_verl.data.corpora.source import RawRow, Source

DATA_SOURCE = "chartqa"
_COLUMNS = ("image", "query", "label", "human_or_machine")
# The values of the column `human_or_machine`.
_WRITERS = ("human", "machine")


def open_chartqa(source: str, split: str, subset: str) -> Source:
    """Open a split (`train`, `val`, `test`); `subset` is `human`, `machine` or `all`.

    Raises SourceError when files or columns are missing.
    """
    folder = located(source, [f"data/{split}-*.parquet"])
    table = parquet_files(shards(folder / "data", split), _COLUMNS)
    indices = [
        index
        for index, writer in enumerate(table.column("human_or_machine"))
        if subset == "all" or writer == _WRITERS.index(subset)
    ]
    return Source(
        data_source=DATA_SOURCE,
        split=split,
        indices=indices,
        load=table.load,
        row=partial(_row, split),
        stages={"source rows": table.rows, f"after subset {subset}": len(indices)},
        files=table.sizes,
    )


def _row(split: str, index: int, cells: Mapping[str, Any]) -> RawRow | Dropped:
    source_id = f"{split}-{index}"
    if not cells["query"]:
        return Dropped(source_id, "no question")
    if not cells["label"] or not cells["label"][0]:
        return Dropped(source_id, "no answer")
    return RawRow(
        data_source=DATA_SOURCE,
        split=split,
        index=index,
        source_id=source_id,
        question=cells["query"],
        answer=cells["label"][0].strip(),
        images=(embedded_image(cells["image"]),),
        category=_WRITERS[cells["human_or_machine"]],
        notes=("first of several labels",) if len(cells["label"]) > 1 else (),
    )
