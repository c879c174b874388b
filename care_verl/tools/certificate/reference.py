"""Eqs. 11 to 13 once more, to be read beside the paper: one row at a time, nothing shared.

No batch, no padding, no shards, and nothing of verl or of `care_verl.algorithm`: an error would
have to be made twice to stay hidden. The precision is the model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from care_verl.training.care.capture_file import CapturedRow


@dataclass(frozen=True)
class Symbols:
    """The paper's constants, and what `docs/algorithm.md` settles about regions."""

    gamma_pos: float
    eps_w: float
    clip_low: float
    clip_high: float
    beta: float
    temperature: float
    scheme: str
    tags_count: bool
    whole_response_without_answer: bool


@dataclass
class Update:
    """Loss and gradients of one update, and what the tokens of its rows went through.

    mass: the loss with every row's share taken absolutely, which is the scale of its rounding.
    tokens, clipped: of positive and negative token advantage, on the clipped branch.
    kl: Eq. 13 without beta. largest_log_ratio: of |log rho|. nearest_bound: the smallest distance
    of a weighted token's rho from a clipping bound. largest_k3: of one token.
    """

    loss: float
    mass: float
    kl: float
    tokens: tuple[int, int]
    clipped: tuple[int, int]
    largest_log_ratio: float
    nearest_bound: float
    largest_k3: float
    gradients: dict[str, Tensor]


def token_advantages(row: CapturedRow, s: Symbols) -> list[float]:
    """Eq. 11: a_t = A w_t / (sum_u w_u + eps_w), T values."""
    spans = row.spans
    answer, rationale = _positions(spans.answer), _positions(spans.rationale)
    missing = not answer
    if s.tags_count:
        answer |= _positions(spans.answer_open) | _positions(spans.answer_close)
        if spans.answer_close is not None and spans.answer_close[1] == spans.end:
            answer |= {spans.end}
        rationale |= _positions(spans.think_open) | _positions(spans.think_close)
    decoded = row.response_mask.tolist()
    if s.scheme == "uniform" or (missing and s.whole_response_without_answer):
        answer = set(range(len(decoded)))
    gamma = {
        "rw": s.gamma_pos if row.acc == 1 else 0.0,
        "rw_fail_unmasked": s.gamma_pos,
        "answer_only": 0.0,
        "uniform": 0.0,
    }[s.scheme]
    w = [
        0.0 if not trained else 1.0 if t in answer else gamma if t in rationale else 0.0
        for t, trained in enumerate(decoded)
    ]
    return [row.advantage * w_t / (sum(w) + s.eps_w) for w_t in w]


def _positions(span: Sequence[int] | None) -> set[int]:
    return set(range(*span)) if span is not None else set()


def log_probabilities(model: Any, row: CapturedRow, temperature: float) -> Tensor:
    """log pi(y_t | x, y_<t) of the row's T response tokens."""
    dtype = model.dtype
    media = {n: v.to(dtype) if v.is_floating_point() else v for n, v in row.media.items()}
    # Position ids are [L], or [axes, L] with the batch axis second.
    positions = row.position_ids[None] if row.position_ids.ndim == 1 else row.position_ids[:, None]
    logits = model(
        input_ids=row.input_ids[None], position_ids=positions, use_cache=False, **media
    ).logits[0]
    response = row.input_ids[-len(row.response_mask) :]
    before = logits[-len(response) - 1 : -1] / temperature
    return before.log_softmax(-1).gather(-1, response[:, None])[:, 0]


def update(model: Any, rows: Sequence[CapturedRow], s: Symbols) -> Update:
    """Eqs. 12 and 13 over the rows of S*, and the gradient of every parameter.

    Under `torch.no_grad` the gradients are left out.
    """
    model.zero_grad()
    total = Update(0.0, 0.0, 0.0, (0, 0), (0, 0), 0.0, float("inf"), 0.0, {})
    for row in rows:
        share = _row_share(model, row, s, total, len(rows))
        if torch.is_grad_enabled():
            share.backward()  # type: ignore[no-untyped-call]
    if torch.is_grad_enabled():
        total.gradients = {
            name: torch.zeros_like(p) if p.grad is None else p.grad
            for name, p in model.named_parameters()
        }
        model.zero_grad(set_to_none=True)
    return total


def _row_share(model: Any, row: CapturedRow, s: Symbols, total: Update, s_star: int) -> Tensor:
    """One row's share of the loss; its numbers are added to `total`."""
    log_pi = log_probabilities(model, row, s.temperature)
    a = torch.tensor(token_advantages(row, s), dtype=torch.float64).to(log_pi.dtype)
    trained = row.response_mask != 0

    # Eq. 12.
    rho = (log_pi - _known(row.old_log_probs, log_pi)).exp()
    plain, clipped = rho * a, rho.clamp(1 - s.clip_low, 1 + s.clip_high) * a
    surrogate = torch.minimum(plain, clipped)[trained].sum()
    share = -surrogate / s_star

    # Eq. 13.
    if s.beta > 0:
        d = (_known(row.ref_log_prob, log_pi) - log_pi)[trained]
        k3 = d.exp() - d - 1
        share = share + s.beta * k3.mean() / s_star
        total.kl += k3.mean().item() / s_star
        total.largest_k3 = max(total.largest_k3, k3.max().item())

    total.loss += share.item()
    total.mass += abs(share.item())
    _count(total, rho.detach(), a, (clipped < plain).detach(), s)
    return share


def _known(log_probs: Tensor | None, like: Tensor) -> Tensor:
    assert log_probs is not None, "a row of S* was captured without its log-probabilities"
    return log_probs.to(like.dtype)


def _count(total: Update, rho: Tensor, a: Tensor, on_branch: Tensor, s: Symbols) -> None:
    for sign, weighted in enumerate((a > 0, a < 0)):
        add = int(weighted.sum()), int((on_branch & weighted).sum())
        total.tokens = _add(total.tokens, sign, add[0])
        total.clipped = _add(total.clipped, sign, add[1])
    ratios = rho[a != 0]
    if len(ratios):
        bounds = torch.tensor([1 - s.clip_low, 1 + s.clip_high], dtype=rho.dtype)
        nearest = (ratios[:, None] - bounds).abs().min().item()
        total.nearest_bound = min(total.nearest_bound, nearest)
        total.largest_log_ratio = max(total.largest_log_ratio, ratios.log().abs().max().item())


def _add(pair: tuple[int, int], index: int, value: int) -> tuple[int, int]:
    return (pair[0] + value, pair[1]) if index == 0 else (pair[0], pair[1] + value)
