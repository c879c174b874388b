"""RGR's prompts in one model's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.utils.tokenizer import get_processor_token_id

from care_verl.algorithm import CareConfig, reflection_prefix
from care_verl.algorithm.reflection import ReflectionPrefix, ReflectionTokens
from care_verl.algorithm.spans import rationale_pieces
from care_verl.common.vocabulary import piece_of
from care_verl.training.messages import MEDIA


class ReflectionPrompts:
    """Tokenises tags and cue once; builds the prefix of each reflection.

    vocabulary: the bytes of each token id.
    """

    def __init__(
        self, tokenizer: Any, processor: Any, care: CareConfig, vocabulary: Sequence[bytes]
    ) -> None:
        def tokens(text: str) -> list[int]:
            return list(tokenizer.encode(text, add_special_tokens=False))

        think, answer = care.regions.think_tag, care.regions.answer_tag
        self._encode = tokens
        self._vocabulary = vocabulary
        self._tags = care.regions.tag_spec
        self._rgr = care.rgr
        self._tokens = ReflectionTokens(
            think_open=tokens(f"<{think}>"),
            think_close=tokens(f"</{think}>"),
            answer_open=tokens(f"<{answer}>"),
            cue=tokens(care.rgr.cue),
            line_break=tokens("\n"),
        )
        self._special = frozenset(tokenizer.all_special_ids) | _placeholders(processor)

    def prefix(self, source: AgentLoopOutput, prefilled: bool, budget: int) -> ReflectionPrefix:
        """The prefix for one failed row.

        A row without a rationale has its text copied instead, to a closing tag that was never
        opened: behind it, the cue would stand outside the rationale.

        prefilled: the row's prompt opens the rationale. budget: the response length in tokens.
        """
        return reflection_prefix(
            self._copied(list(source.response_ids), prefilled),
            self._tokens,
            self._rgr,
            budget,
            special_ids=self._special,
            prefilled=prefilled,
        )

    def _copied(self, ids: list[int], prefilled: bool) -> list[int]:
        pieces = [piece_of(token, self._vocabulary) for token in ids]
        own = rationale_pieces(pieces, self._tags, prefilled)
        if own is None:
            own = rationale_pieces(pieces, self._tags, prefilled=True) or []
        copied: list[int] = []
        cut = b""
        for t, part in own:
            if not cut and part == pieces[t]:
                copied.append(ids[t])
                continue
            # Of a token such as `>The` the tag's byte stays behind, and the rest is encoded anew:
            # with the bytes that follow where it ends within a character.
            cut += part
            if _is_text(cut):
                copied += self._encode(cut.decode())
                cut = b""
        return copied + self._encode(cut.decode(errors="replace"))


def _is_text(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


def _placeholders(processor: Any) -> frozenset[int]:
    """Token ids that stand for an image, video or audio feature, special or not."""
    if processor is None:
        return frozenset()
    found = (get_processor_token_id(processor, kind) for kind in MEDIA)
    return frozenset(token for token in found if token is not None)
