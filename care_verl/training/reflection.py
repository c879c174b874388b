"""RGR's prompts in one model's tokens."""

from __future__ import annotations

from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.utils.tokenizer import get_processor_token_id

from care_verl.algorithm import (
    CareConfig,
    ReflectionPrefix,
    ReflectionTokens,
    TokenSpans,
    reflection_prefix,
)

MEDIA = ("image", "video", "audio")


class ReflectionPrompts:
    """Tokenises tags and cue once; builds the prefix of each reflection."""

    def __init__(self, tokenizer: Any, processor: Any, care: CareConfig) -> None:
        def tokens(text: str) -> list[int]:
            return list(tokenizer.encode(text, add_special_tokens=False))

        think, answer = care.regions.think_tag, care.regions.answer_tag
        self._rgr = care.rgr
        self._tokens = ReflectionTokens(
            think_open=tokens(f"<{think}>"),
            think_close=tokens(f"</{think}>"),
            answer_open=tokens(f"<{answer}>"),
            cue=tokens(care.rgr.cue),
            line_break=tokens("\n"),
        )
        self._special = frozenset(tokenizer.all_special_ids) | _placeholders(processor)

    def prefix(self, source: AgentLoopOutput, spans: TokenSpans, budget: int) -> ReflectionPrefix:
        """The prefix for one failed row; `budget` is the response length in tokens."""
        start, stop = spans.rationale or (0, spans.end)
        return reflection_prefix(
            source.response_ids[start:stop],
            self._tokens,
            self._rgr,
            budget,
            special_ids=self._special,
            prefilled=spans.rationale is not None and spans.think_open is None,
        )


def _placeholders(processor: Any) -> frozenset[int]:
    """Token ids that stand for an image, video or audio feature, special or not."""
    if processor is None:
        return frozenset()
    found = (get_processor_token_id(processor, kind) for kind in MEDIA)
    return frozenset(token for token in found if token is not None)
