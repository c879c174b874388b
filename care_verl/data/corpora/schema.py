"""The columns of prepared corpora: one schema for reinforcement learning, one for the cold start.

Every corpus is written with the same schema, images as encoded bytes, so that files of several
corpora can be loaded together: `datasets` refuses to join image columns of different types.
"""

import pyarrow as pa

from care_verl.data.columns import IMAGES, MESSAGES, rl_schema

# For verl's RLHFDataset. `choices` and `category` are null where the corpus does not tell them;
# `question` is the problem's text without placeholders and without the instruction.
RL_SCHEMA = rl_schema(
    {
        "index": pa.int64(),
        "split": pa.string(),
        "source_id": pa.string(),
        "question": pa.string(),
        "choices": pa.list_(pa.string()),
        "category": pa.string(),
    }
)

# For verl's MultiTurnSFTDataset.
SFT_SCHEMA = pa.schema(
    {
        "messages": MESSAGES,
        "images": IMAGES,
        "data_source": pa.string(),
        "source_id": pa.string(),
    }
)
