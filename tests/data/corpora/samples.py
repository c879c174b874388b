"""Drawings to make rows of: many that differ, and copies of them that hardly do."""

import io
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from care_verl.data.corpora.schema import RL_SCHEMA

SIZE = (160, 120)


@cache
def drawing(number: int) -> Image.Image:
    """A triangle and two bars; another for each number."""
    rng = random.Random(f"drawing/{number}")
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    corners = [(rng.randrange(SIZE[0]), rng.randrange(SIZE[1])) for _ in range(3)]
    draw.polygon(corners, outline="black", width=3)
    for left in (20, 100):
        draw.rectangle(
            (left, rng.randrange(10, 110), left + 25, 118), fill=(rng.randrange(200), 90, 160)
        )
    return image


def retouched(number: int) -> Image.Image:
    """The drawing with a small mark, as a changed digit would be one."""
    image = drawing(number).copy()
    ImageDraw.Draw(image).line((70, 50, 74, 56), fill="black")
    return image


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form)
    return buffer.getvalue()


def rl_row(
    images: bytes | Sequence[bytes],
    question: str,
    gold: str,
    source_id: str = "0",
    choices: list[str] | None = None,
) -> dict[str, Any]:
    """A row in the schema of prepared corpora."""
    encoded_images = [images] if isinstance(images, bytes) else list(images)
    return {
        "data_source": "test",
        "prompt": [{"role": "user", "content": "<image>" * len(encoded_images) + question}],
        "images": [{"bytes": data} for data in encoded_images],
        "reward_model": {"style": "rule", "ground_truth": gold},
        "extra_info": {
            "index": 0,
            "split": "train",
            "source_id": source_id,
            "question": question,
            "choices": choices,
            "category": None,
        },
    }


def write_corpus(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A prepared corpus's folder with these rows."""
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=RL_SCHEMA), folder / "train.parquet")
    return folder
