"""Columns that all prepared data share, as verl's two datasets read them."""

import pyarrow as pa

IMAGE_PLACEHOLDER = "<image>"
REWARD_STYLE = "rule"

MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
IMAGES = pa.list_(pa.struct({"bytes": pa.binary()}))
REWARD_MODEL = pa.struct({"style": pa.string(), "ground_truth": pa.string()})
