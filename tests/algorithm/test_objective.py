"""Eqs. 12 and 13: golden values, and invariance under every cut of the mini-batch.

The pieces of a mini-batch are summed here by hand; this does not prove that a trainer passes the
global |S*| or sums over its ranks.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from care_verl.algorithm import clipped_surrogate

from .oracle import kl_penalty

LOW, HIGH = 0.2, 0.28


def tensor(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_surrogate_by_hand() -> None:
    """|S*| = 2. Ratios 1.5, 1.1 with a = 1: clipped to 1.28, and 1.1.

    Ratios 0.5, 3 with a = -2: min(-1, -1.6) = -1.6, clipped; min(-6, -2.56) = -6, no second
    clip. Loss = -(1.28 + 1.1 - 1.6 - 6)/2 = 2.61. Two of four tokens are on the clipped branch,
    one of them among the two negative ones.
    """
    ratio, a = tensor([1.5, 1.1], [0.5, 3.0]), tensor([1, 1], [-2, -2])
    old = torch.full_like(ratio, -3.0)
    loss, stats = clipped_surrogate(old + ratio.log(), old, a, torch.ones(2, 2), 2, LOW, HIGH)
    assert float(loss) == pytest.approx(2.61)
    assert (float(stats.rate), float(stats.negative_clipped / stats.negative_tokens)) == (0.5, 0.5)


def test_kl_by_hand() -> None:
    """d = ref - log_prob: row 0 has ln 2 and 0, so (2 - ln 2 - 1 + 0)/2 = 0.1534264.

    Row 1 has -ln 2 and a masked token: 0.5 + ln 2 - 1 = 0.1931472. Row 2 is not updated. Over
    |S*| = 2: 0.1732868.
    """
    d = tensor([0.6931472, 0.0], [-0.6931472, 9.0], [5.0, 5.0])
    mask = torch.tensor([[1, 1], [1, 0], [1, 1]])
    updated = torch.tensor([True, True, False])
    kl = kl_penalty(torch.zeros_like(d), d, mask, updated, 2)
    assert float(kl) == pytest.approx(0.1732868, abs=1e-6)


def random_batch(seed: int, rows: int, length: int) -> list[torch.Tensor]:
    """log_prob, old, reference, token advantage, mask, updated; some rows are not updated."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> torch.Tensor:
        return torch.randn(rows, length, generator=generator, dtype=torch.float64)

    updated = torch.rand(rows, generator=generator) < 0.7
    mask = torch.arange(length) < torch.randint(1, length + 1, (rows, 1), generator=generator)
    log_prob, advantage = normal(), normal() * updated[:, None] * mask
    return [log_prob, log_prob + 0.4 * normal(), normal(), advantage, mask, updated]


def evaluate(
    batch: list[torch.Tensor], cuts: list[list[int]], num_rows: int
) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Summed loss, its gradient and the token counts, computed piece by piece."""
    log_prob = batch[0].clone().requires_grad_()
    losses, counts = [], []
    for rows in cuts:
        old, ref, advantage, mask, updated = (value[rows] for value in batch[1:])
        surrogate, piece = clipped_surrogate(
            log_prob[rows], old, advantage, mask, num_rows, LOW, HIGH
        )
        losses.append(surrogate + 0.02 * kl_penalty(log_prob[rows], ref, mask, updated, num_rows))
        counts.append([int(count) for count in vars(piece).values()])
    total = torch.stack(losses).sum()
    (gradient,) = torch.autograd.grad(total, log_prob)
    return total.detach(), gradient, [sum(of) for of in zip(*counts, strict=True)]


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31), pieces=st.integers(1, 8), padding=st.integers(0, 3))
def test_the_cut_does_not_matter(seed: int, pieces: int, padding: int) -> None:
    """One piece in order, against many pieces in another order with padded rows and columns."""
    batch = random_batch(seed, rows=8, length=6)
    num_rows = int(batch[5].sum())
    loss, gradient, counts = evaluate(batch, [list(range(8))], num_rows)

    padded = [torch.nn.functional.pad(value, (0, padding)) for value in batch[:5]]
    padded = [torch.cat([value, value[:padding]]) for value in padded]
    padded[3][8:] = 0
    padded[0] = padded[0].masked_fill(~padded[4], torch.nan)
    updated = torch.cat([batch[5], torch.zeros(padding, dtype=torch.bool)])
    order = torch.randperm(8 + padding, generator=torch.Generator().manual_seed(seed)).tolist()
    cuts = [order[i::pieces] for i in range(pieces)]
    cut_loss, cut_gradient, cut_counts = evaluate([*padded, updated], cuts, num_rows)

    torch.testing.assert_close(cut_loss, loss)
    torch.testing.assert_close(cut_gradient[:8, :6], gradient)
    assert not cut_gradient[8:].any()
    assert not cut_gradient[:, 6:].any()
    assert cut_counts == counts


def test_no_updated_rows() -> None:
    """|S*| = 0 as a number or a tensor: loss 0 and a zero gradient, no NaN."""
    for num_rows in (0, torch.tensor(0)):
        log_prob = torch.zeros(2, 3, requires_grad=True)
        zeros, mask = torch.zeros(2, 3), torch.ones(2, 3)
        loss, stats = clipped_surrogate(log_prob, zeros, zeros, mask, num_rows, LOW, HIGH)
        assert float(loss.detach()) == 0
        assert not torch.autograd.grad(loss, log_prob)[0].any()
        assert float(stats.rate) == 0
        assert (float(stats.negative_clipped), float(stats.negative_tokens)) == (0, 0)


def test_far_off_policy_tokens_stay_finite() -> None:
    """A log-ratio of 200 overflows exp in float32; with advantage 0 it must contribute 0."""
    log_prob = torch.tensor([[200.0, 0.0]], requires_grad=True)
    a, zeros, mask = torch.tensor([[0.0, 1.0]]), torch.zeros(1, 2), torch.ones(1, 2)
    loss, _ = clipped_surrogate(log_prob, zeros, a, mask, 1, LOW, HIGH)
    assert float(loss.detach()) == -1
    assert torch.autograd.grad(loss, log_prob)[0].tolist() == [[0.0, -1.0]]


def test_low_precision_is_raised() -> None:
    """A difference of 0.001 around -8 is below bfloat16; the ratio is computed in float32."""
    half = torch.full((1, 1), -8.0, dtype=torch.bfloat16)
    loss, _ = clipped_surrogate(
        half, torch.full((1, 1), -8.001), torch.ones(1, 1), torch.ones(1, 1), 1, LOW, HIGH
    )
    assert float(loss) == pytest.approx(-1.0010005, abs=1e-6)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="expected the same"):
        clipped_surrogate(
            torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 3), torch.ones(1, 2), 1, LOW, HIGH
        )
