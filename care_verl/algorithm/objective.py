"""The clipped surrogate (Eq. 12); the KL term of Eq. 13 is verl's.

It divides once, by the number of updated rows of the whole mini-batch. The sum over the pieces of
a mini-batch therefore does not depend on how it is cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Beyond this the exponential leaves the range in which a ratio means anything, and it may become
# infinite, which times a zero advantage is NaN. e^20 is far outside every clipping range.
_MAX_LOG_RATIO = 20.0


@dataclass(frozen=True)
class ClipStats:
    """Token counts of the clipped branch, as sums: add them over micro-batches, then divide.

    tokens: tokens with a nonzero advantage; clipped: those on the clipped branch;
    negative_tokens, negative_clipped: the same for tokens with an advantage below zero. With the
    region scheme `rw` these are the answer tokens of negatives, which Figure 6 shows.
    """

    tokens: Tensor
    clipped: Tensor
    negative_tokens: Tensor
    negative_clipped: Tensor

    @property
    def rate(self) -> Tensor:
        """Branch-clip rate over all tokens with an advantage; 0 without any."""
        return self.clipped / self.tokens.clamp(min=1)


def clipped_surrogate(
    log_prob: Tensor,
    old_log_prob: Tensor,
    token_advantage: Tensor,
    mask: Tensor,
    num_rows: float | Tensor,
    clip_low: float,
    clip_high: float,
) -> tuple[Tensor, ClipStats]:
    """Eq. 12: -1/|S*| sum_i sum_t min(rho a, clip(rho, 1 - clip_low, 1 + clip_high) a).

    rho = exp(log_prob - old_log_prob), in float32 or wider, its logarithm held within +-20. The
    clip is single: there is no second one for negative advantages.

    **Settled**: `num_rows` is |S*| of the whole global mini-batch, over every micro-batch and
    every data-parallel rank. The losses of all pieces are summed (not averaged), and value and
    gradient do not depend on the cut, the padding or the order of rows. Rows added as padding
    have advantage 0 and count nowhere. With |S*| = 0 every advantage is 0 and so is the loss.

    Args:
        log_prob, old_log_prob, token_advantage: [B, T]; mask: [B, T], nonzero on tokens that
            count. Masked positions may hold anything, NaN included.

    Raises:
        ValueError: the four tensors differ in shape.
    """
    _same_shape(log_prob, old_log_prob, token_advantage, mask)
    ratio = _log_ratio(log_prob, old_log_prob.detach(), mask).exp()
    a = token_advantage.detach().to(ratio.dtype).masked_fill(mask == 0, 0.0)
    plain = ratio * a
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * a
    loss = -torch.minimum(plain, clipped).sum() / _at_least_one(num_rows)
    with torch.no_grad():
        on_branch = clipped < plain
        stats = ClipStats(
            tokens=(a != 0).sum(),
            clipped=on_branch.sum(),
            negative_tokens=(a < 0).sum(),
            negative_clipped=(on_branch & (a < 0)).sum(),
        )
    return loss, stats


def _log_ratio(log_prob: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """log_prob - other on the mask, 0 elsewhere; at least float32."""
    dtype = torch.promote_types(log_prob.dtype, torch.float32)
    # Masked before the subtraction: NaN at a masked position would reach the gradient otherwise.
    ours = log_prob.to(dtype).masked_fill(mask == 0, 0.0)
    theirs = other.to(dtype).masked_fill(mask == 0, 0.0)
    return (ours - theirs).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)


def _at_least_one(num_rows: float | Tensor) -> float | Tensor:
    return num_rows.clamp(min=1) if isinstance(num_rows, Tensor) else max(num_rows, 1)


def _same_shape(*tensors: Tensor) -> None:
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if len(shapes[0]) != 2 or len(set(shapes)) != 1:
        raise ValueError(f"tensors have shapes {shapes}; expected the same [B, T] for all")
