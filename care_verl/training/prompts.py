"""What a prompt's tokens say about the response that follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from care_verl.algorithm import RegionConfig

TAIL_TOKENS = 16
"""Enough for the opening tag and the white space behind it, in any tokenization."""


def opens_rationale(tokenizer: Any, prompt_ids: Sequence[int], regions: RegionConfig) -> bool:
    """Whether the response starts inside the rationale, as the chat template opened it.

    `regions.prefilled` decides where it is set; else the prompt's end does (`... <think>`).
    """
    if regions.prefilled is not None:
        return regions.prefilled
    tail = tokenizer.decode(list(prompt_ids[-TAIL_TOKENS:]), skip_special_tokens=False)
    return str(tail).rstrip().endswith(f"<{regions.think_tag}>")
