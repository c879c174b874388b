"""Columns that all prepared data share, as verl's two datasets read them."""

import pyarrow as pa

IMAGE_PLACEHOLDER = "<image>"
REWARD_STYLE = "rule"

MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
IMAGES = pa.list_(pa.struct({"bytes": pa.binary()}))
REWARD_MODEL = pa.struct({"style": pa.string(), "ground_truth": pa.string()})


def rl_schema(extra_info: dict[str, pa.DataType]) -> pa.Schema:
    """The schema of rows for verl's RLHFDataset; `extra_info` is what differs between corpora."""
    return pa.schema(
        {
            "data_source": pa.string(),
            "prompt": MESSAGES,
            "images": IMAGES,
            "reward_model": REWARD_MODEL,
            "extra_info": pa.struct(extra_info),
        }
    )
