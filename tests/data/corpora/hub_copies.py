"""Small local copies of the three corpora, made in the hub's own layout and columns."""

import io
import random
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

IMAGE_CELL = pa.struct({"bytes": pa.binary(), "path": pa.string()})
CHARTQA = pa.schema(
    {
        "image": IMAGE_CELL,
        "query": pa.string(),
        "label": pa.list_(pa.string()),
        "human_or_machine": pa.int64(),
    }
)
GEOMETRY3K = pa.schema(
    {
        "images": pa.list_(IMAGE_CELL),
        "problem": pa.string(),
        "answer": pa.string(),
        "id": pa.string(),
        "choices": pa.list_(pa.string()),
        "ground_truth": pa.string(),
    }
)
VIRL39K = pa.schema(
    {
        "question": pa.string(),
        "answer": pa.string(),
        "PassRate_32BTrained": pa.float64(),
        "PassRate_7BBase": pa.float64(),
        "category": pa.string(),
        "source": pa.string(),
        "qid": pa.string(),
        "image": pa.list_(pa.string()),
    }
)


def picture(
    number: int, size: tuple[int, int] = (64, 48), form: str = "PNG", mode: str = "RGB"
) -> bytes:
    """An encoded image of noise; another for each number."""
    noise = random.Random(f"picture/{number}").randbytes(12 * 9 * 3)
    image = Image.frombytes("RGB", (12, 9), noise).resize(size).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, format=form)
    return buffer.getvalue()


def chartqa_row(number: int, **cells: Any) -> dict[str, Any]:
    row = {
        "image": {"bytes": picture(number), "path": None},
        "query": f"How tall is bar {number}?",
        "label": [str(number)],
        "human_or_machine": number % 2,
    }
    return row | cells


def geometry3k_row(number: int, **cells: Any) -> dict[str, Any]:
    row = {
        "images": [{"bytes": picture(number), "path": f"{number}.png"}],
        "problem": "<image>Find x.",
        "answer": f"{number} \\sqrt {{ 3 }}",
        "id": str(number),
        "choices": ["1", f"{number} \\sqrt {{3}}", "3.5", "4.5"],
        "ground_truth": "B",
    }
    return row | cells


def virl39k_row(number: int, **cells: Any) -> dict[str, Any]:
    row = {
        "question": f"<image>What is the length of side {number}?",
        "answer": f"\\boxed{{{number}}}",
        "PassRate_32BTrained": 0.5,
        "PassRate_7BBase": 0.25,
        "category": "geometry",
        "source": "made",
        "qid": f"q{number}",
        "image": [f"images/{number}.png"],
    }
    return row | cells


def chartqa_copy(folder: Path, rows: Sequence[dict[str, Any]], shards: int = 2) -> Path:
    """`data/train-0000k-of-0000n-….parquet`, the rows dealt out in order."""
    (folder / "data").mkdir(parents=True)
    each = -(-len(rows) // shards)
    for shard in range(shards):
        name = f"train-{shard:05d}-of-{shards:05d}-0123456789abcdef.parquet"
        part = rows[shard * each : (shard + 1) * each]
        table = pa.Table.from_pylist(list(part), schema=CHARTQA)
        pq.write_table(table, folder / "data" / name, row_group_size=5)
    return folder


def geometry3k_copy(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    split: str = "train",
    schema: pa.Schema = GEOMETRY3K,
) -> Path:
    (folder / "data").mkdir(parents=True)
    table = pa.Table.from_pylist(list(rows), schema=schema)
    pq.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def virl39k_copy(
    folder: Path, rows: Sequence[dict[str, Any]], images: dict[str, bytes] | None = None
) -> Path:
    """The parquet file and images.zip; `images` by path, else one for each path that rows name."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(list(rows), schema=VIRL39K)
    pq.write_table(table, folder / "39Krelease.parquet")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name, data in (images or dict(_pictures(rows))).items():
            archive.writestr(name, data)
    return folder


def _pictures(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    names = dict.fromkeys(name for row in rows for name in row["image"])
    for number, name in enumerate(names):
        yield name, picture(number)
