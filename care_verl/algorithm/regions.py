"""Region weights and per-token advantages (Section 3.5, Eq. 11)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from care_verl.algorithm.config import CareConfig
from care_verl.algorithm.reward import is_positive
from care_verl.algorithm.schemes import SCHEMES
from care_verl.algorithm.spans import Span, TokenSpans


def region_weights(
    spans: Sequence[TokenSpans], acc: Tensor, response_mask: Tensor, config: CareConfig
) -> Tensor:
    """Region weight w of every response token, float32 [B, T] on the device of the mask.

    Scheme `rw` (Section 3.5): 1 inside the answer; gamma_pos inside the rationale of a row with
    acc == 1 and 0 inside that of any other row; 0 elsewhere. `answer_only` gives rationales 0,
    `rw_fail_unmasked` gives those of failures gamma_pos too, `uniform` gives every token 1
    (Figure 8).

    Settled here, where the paper is silent:

    - A token that carries a byte of a region has the region's weight, also where the rest of it
      is a piece of a tag: `>B` is one token of a real vocabulary.
    - The tags are outside their regions. `regions.tags = include` counts them in, and with
      `</answer>` the end-of-sequence token directly behind it.
    - A row whose answer has no byte, or that has no answer, counts its whole response as its
      answer (`regions.missing_answer`); a malformed failure would teach nothing otherwise.
    - Where the regions overlap, as in a token that ends one tag and begins the next, the answer
      wins.
    - A token with `response_mask` 0 has weight 0 always: of a reflected row only the newly
      decoded tokens are trained, not the copied rationale and the cue before them.

    Args:
        spans: B spans, over the same T positions as the mask (a reflected row's copied prefix
            included).
        acc: [B].
        response_mask: [B, T], nonzero on the tokens that may be trained.
        config: the settings.
    """
    if acc.shape != (len(spans),) or response_mask.ndim != 2 or len(response_mask) != len(spans):
        raise ValueError(
            f"{len(spans)} spans, acc of shape {tuple(acc.shape)} and response_mask of shape "
            f"{tuple(response_mask.shape)}; expected B spans, [B] and [B, T]"
        )
    longest, width = max((span.end for span in spans), default=0), response_mask.shape[1]
    if longest > width:
        raise ValueError(
            f"spans reach {longest} tokens and response_mask has {width}; expected both over the "
            "same response tokens"
        )
    weights = torch.zeros(response_mask.shape, dtype=torch.float32)
    for row, span, positive in zip(weights, spans, is_positive(acc).tolist(), strict=True):
        _paint(row, span, positive, config)
    weights = weights.to(response_mask.device)
    return weights.masked_fill(response_mask == 0, 0.0)


def _paint(row: Tensor, spans: TokenSpans, positive: bool, config: CareConfig) -> None:
    """Writes the weights of one row, [T], before the mask."""
    regions = config.regions
    with_tags = regions.tags == "include"
    scheme = SCHEMES[regions.scheme]
    if scheme.whole:
        row.fill_(1.0)
        return
    if scheme.weighs_rationale(positive):
        rationale = [spans.rationale]
        if with_tags:
            rationale += [spans.think_open, spans.think_close]
        for start, stop in _present(rationale):
            row[start:stop] = config.gamma_pos
    answer = [spans.answer]
    if with_tags:
        answer += [spans.answer_open, spans.answer_close, _end_token(spans)]
    for start, stop in _present(answer):
        row[start:stop] = 1.0
    if regions.missing_answer == "whole_response" and not spans.answer_len:
        row.fill_(1.0)


def _present(ranges: Sequence[Span | None]) -> list[Span]:
    """The ranges that exist and hold a token."""
    return [span for span in ranges if span is not None and span[0] < span[1]]


def _end_token(spans: TokenSpans) -> Span | None:
    """The end-of-sequence token, if it stands directly behind the closing answer tag."""
    if spans.answer_close is None or spans.answer_close[1] != spans.end:
        return None
    return spans.end, spans.end + 1


def token_advantages(advantage: Tensor, weights: Tensor, eps_w: float) -> tuple[Tensor, Tensor]:
    """Eq. 11: a_{i,t} = A_i * w_{i,t} / (sum_u w_{i,u} + eps_w), and the rows it leaves out.

    The denominator is over the row's own response tokens.

    Args:
        advantage: [B]; weights: [B, T], 0 wherever a token is not trained.

    Returns:
        The per-token advantages [B, T], and bool [B]: rows with an advantage but without any
        weight. They get no gradient and still count in |S*|.
    """
    if advantage.ndim != 1 or weights.shape[:1] != advantage.shape or weights.ndim != 2:
        raise ValueError(
            f"advantage has shape {tuple(advantage.shape)} and weights {tuple(weights.shape)}; "
            "expected [B] and [B, T]"
        )
    total = weights.sum(1)
    a = advantage[:, None] * weights / (total + eps_w)[:, None]
    return a, (advantage != 0) & (total == 0)
