"""Qwen's real vocabulary, as a development dependency carries it."""

from __future__ import annotations

import base64
import functools
from importlib.metadata import distribution
from pathlib import Path

import tiktoken

_FILE = "dashscope/resources/qwen.tiktoken"
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END = 151_643


@functools.cache
def encoding() -> tiktoken.Encoding:
    """The 151,643 tokens of Qwen, Qwen2 and Qwen2.5, their merges, and the end of a text."""
    lines = Path(str(distribution("dashscope").locate_file(_FILE))).read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}
    assert len(ranks) == END
    return tiktoken.Encoding(
        "qwen", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": END}
    )


@functools.cache
def vocabulary() -> list[bytes]:
    """Bytes of each token; the end has none."""
    return [*(encoding().decode_single_token_bytes(i) for i in range(END)), b""]


def pieces(text: str) -> list[bytes]:
    """The bytes of a text's tokens, as a model of this vocabulary would be fed them."""
    return [vocabulary()[token] for token in encoding().encode_ordinary(text)]
