"""What can be chosen on the command line; apart, so that its help starts fast."""

from __future__ import annotations

from enum import Enum


class Backend(str, Enum):
    """Who decodes: vLLM in LMMs-Eval's process, a server, or transformers."""

    VLLM = "vllm"
    OPENAI = "openai"
    HF = "hf"
