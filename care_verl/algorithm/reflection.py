"""What the model continues from in Reflection-Guided Resampling (Section 3.6), as token ids."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from care_verl.algorithm.config import RgrConfig


@dataclass(frozen=True)
class ReflectionTokens:
    """The fixed texts of a reflection, tokenised once.

    Opening and closing tag of the rationale, opening tag of the answer, the cue, a line break.
    """

    think_open: Sequence[int]
    think_close: Sequence[int]
    answer_open: Sequence[int]
    cue: Sequence[int]
    line_break: Sequence[int]


@dataclass(frozen=True)
class ReflectionPrefix:
    """The assistant text that a reflection starts with, or why there is none.

    ids: its tokens, all of them untrained; None where the group goes without a reflection.
    cut: how many tokens of the failed rationale were left out for want of room.
    reason: `no_room` or `off` where `ids` is None, else None.
    """

    ids: list[int] | None
    cut: int = 0
    reason: str | None = None


def reflection_prefix(
    rationale: Sequence[int],
    tokens: ReflectionTokens,
    config: RgrConfig,
    budget: int,
    special_ids: Collection[int] = (),
    prefilled: bool = False,
) -> ReflectionPrefix:
    """Builds the prefix of a reflection on one failed rationale.

    Settled here, where the paper leaves the layout open:

    - `in_think`: opening tag, failed rationale without its closing tag, line break, cue, line
      break; the model goes on inside the rationale.
    - `answer`: the same, then closing tag, line break and opening answer tag; only the answer is
      decoded.
    - `no_cue` leaves out the cue and the line break behind it, nothing else.
    - `random` has no prefix: a fresh decode of the prompt.
    - Special tokens inside the failed rationale, such as vision placeholders, are dropped.
    - At least `min_new_tokens` of the response budget stay free: the oldest part of the copied
      rationale is cut until they do, all of it if need be. If that is not enough there is no
      reflection (`no_room`).
    - The ground truth is no input.

    Args:
        rationale: the failed row's tokens inside its rationale, without tags.
        tokens: the fixed texts.
        config: mode, context and `min_new_tokens`.
        budget: response tokens a row may have, prefix included.
        special_ids: ids that may not go back into a prompt.
        prefilled: the prompt already ends with the opening tag, which is then not repeated.
    """
    if config.mode == "off":
        return ReflectionPrefix(None, reason="off")
    room = budget - config.min_new_tokens
    if config.mode == "random":
        return ReflectionPrefix([]) if room >= 0 else ReflectionPrefix(None, reason="no_room")

    before = [] if prefilled else list(tokens.think_open)
    behind = list(tokens.line_break)
    if config.mode == "cue":
        behind += [*tokens.cue, *tokens.line_break]
    if config.context == "answer":
        behind += [*tokens.think_close, *tokens.line_break, *tokens.answer_open]

    copied = [token for token in rationale if token not in special_ids]
    cut = max(0, len(before) + len(copied) + len(behind) - room)
    if cut > len(copied):
        return ReflectionPrefix(None, reason="no_room")
    return ReflectionPrefix([*before, *copied[cut:], *behind], cut=cut)
