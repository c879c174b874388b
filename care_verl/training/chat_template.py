"""What a prompt's tokens say about the response that follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from care_verl.algorithm.tags import TagSettings

TAIL_TOKENS = 16
"""Enough for the opening tag and the white space behind it, in any tokenization."""


def opens_rationale(tokenizer: Any, prompt_ids: Sequence[int], tags: TagSettings) -> bool:
    """Whether the response starts inside the rationale, as the chat template opened it.

    `tags.prefilled` decides where it is set; else the prompt's end does (`... <think>`).
    """
    if tags.prefilled is not None:
        return tags.prefilled
    tail = tokenizer.decode(list(prompt_ids[-TAIL_TOKENS:]), skip_special_tokens=False)
    return str(tail).rstrip().endswith(f"<{tags.think_tag}>")
