"""Parquet files of the embedded task, in the columns that verl's two datasets read.

Rows for reinforcement learning carry `data_source`, `prompt`, `images`, `reward_model` and
`extra_info`; rows for the cold start carry `messages` and `images`. Every file of a kind has the
same schema, images as PNG bytes, so that files can be concatenated.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.common.files import whole_file
from care_verl.data.columns import (
    IMAGE_PLACEHOLDER,
    IMAGES,
    MESSAGES,
    REWARD_STYLE,
    rl_schema,
)
from care_verl.data.embedded.charts import png_bytes
from care_verl.data.embedded.demonstrations import NoiseRates, demonstration
from care_verl.data.embedded.generator import Example

DATA_SOURCE = "care_verl/embedded"

_READINGS = pa.list_(pa.struct({"colour": pa.string(), "height": pa.int64()}))
RL_SCHEMA = rl_schema(
    {
        "index": pa.int64(),
        "split": pa.string(),
        "seed": pa.int64(),
        "level": pa.string(),
        "readings": _READINGS,
    }
)
SFT_SCHEMA = pa.schema({"messages": MESSAGES, "images": IMAGES})


def rl_row(example: Example) -> dict[str, Any]:
    """The row of an example for verl's `RLHFDataset`."""
    readings = [{"colour": c, "height": h} for c, h in example.readings.items()]
    return {
        "data_source": DATA_SOURCE,
        "prompt": [_user_message(example)],
        "images": _images(example),
        "reward_model": {"style": REWARD_STYLE, "ground_truth": example.answer},
        "extra_info": {
            "index": example.index,
            "split": example.split,
            "seed": example.seed,
            "level": example.question.level,
            "readings": readings,
        },
    }


def sft_row(example: Example, rates: NoiseRates) -> dict[str, Any]:
    """The row of an example and its demonstration for verl's `MultiTurnSFTDataset`."""
    assistant = {"role": "assistant", "content": demonstration(example, rates)}
    return {"messages": [_user_message(example), assistant], "images": _images(example)}


def write_rows(rows: Iterable[dict[str, Any]], path: Path, schema: pa.Schema) -> None:
    """Write `rows` to `path` by way of a temporary name: a file of that name is always whole."""
    with whole_file(path) as file:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), file)


def _user_message(example: Example) -> dict[str, str]:
    return {"role": "user", "content": IMAGE_PLACEHOLDER + example.question.text}


def _images(example: Example) -> list[dict[str, bytes]]:
    return [{"bytes": png_bytes(example.chart)}]
