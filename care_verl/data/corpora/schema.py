"""The columns of prepared corpora: one schema for reinforcement learning, one for the cold start.

Every corpus is written with the same schema, images as encoded bytes, so that files of several
corpora can be loaded together: `datasets` refuses to join image columns of different types.
"""

import pyarrow as pa

IMAGE_PLACEHOLDER = "<image>"
REWARD_STYLE = "rule"

_MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
_IMAGES = pa.list_(pa.struct({"bytes": pa.binary()}))

# For verl's RLHFDataset. `choices` and `category` are null where the corpus does not tell them;
# `question` is the problem's text without placeholders and without the instruction.
RL_SCHEMA = pa.schema(
    {
        "data_source": pa.string(),
        "prompt": _MESSAGES,
        "images": _IMAGES,
        "reward_model": pa.struct({"style": pa.string(), "ground_truth": pa.string()}),
        "extra_info": pa.struct(
            {
                "index": pa.int64(),
                "split": pa.string(),
                "source_id": pa.string(),
                "question": pa.string(),
                "choices": pa.list_(pa.string()),
                "category": pa.string(),
            }
        ),
    }
)

# For verl's MultiTurnSFTDataset.
SFT_SCHEMA = pa.schema(
    {
        "messages": _MESSAGES,
        "images": _IMAGES,
        "data_source": pa.string(),
        "source_id": pa.string(),
    }
)
