"""What can be chosen on the command line; apart, so that its help starts fast."""

from __future__ import annotations

from enum import Enum


class Backend(str, Enum):
    """Who decodes: vLLM in LMMs-Eval's process, a server, or transformers."""

    VLLM = "vllm"
    OPENAI = "openai"
    HF = "hf"


class Upstream(str, Enum):
    """What of LMMs-Eval's own is asked for: its scores of our runs' responses, or its tasks."""

    SCORES = "scores"
    TASKS = "tasks"
