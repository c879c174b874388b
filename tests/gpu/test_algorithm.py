"""CARE's functions of tensors on a device, against plain loops or float64 on the CPU.

What this does not prove: anything about several devices, or that training puts these tensors on
one.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from care_verl.algorithm import CareConfig, care_advantages, clipped_surrogate, token_advantages
from care_verl.training.care.policy_loss import care_policy_loss
from tests.algorithm.oracle import Row, random_rows, reference

from .devices import on_each_device


def rounded(rows: list[Row], dtype: torch.dtype) -> list[Row]:
    """The rows with embeddings as `dtype` holds them."""
    values = torch.tensor([row.embedding for row in rows]).to(dtype).double().tolist()
    return [
        Row(**(vars(row) | {"embedding": given})) for row, given in zip(rows, values, strict=True)
    ]


@on_each_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("selector", ["nearest", "mixed", "farthest"])
def test_advantages(selector: str, dtype: torch.dtype, device: str) -> None:
    """Against the specification as loops over Python numbers, on what is left by the rounding."""
    rows = rounded(random_rows(seed=0, groups=64, size=9, distinct=True), dtype)
    config = CareConfig(selector=selector)

    def column(name: str, kind: torch.dtype) -> torch.Tensor:
        return torch.tensor([getattr(row, name) for row in rows], dtype=kind, device=device)

    result = care_advantages(
        reward=column("reward", torch.float32),
        acc=column("acc", torch.float32),
        uid=[row.uid for row in rows],
        think_len=column("think_len", torch.int64),
        answer_len=column("answer_len", torch.int64),
        embedding=column("embedding", dtype),
        logp_old=column("logp", torch.float32),
        reflected_from=column("source", torch.int64),
        config=config,
    )

    expected = reference(rows, config)
    assert result.advantage.device.type == device
    assert result.role == [outcome.role for outcome in expected]
    assert {"anchor", "negative", "positive", "outside"} == set(result.role)
    wanted = torch.tensor([outcome.advantage for outcome in expected])
    # Rounded embeddings decide who is selected, and enter nothing else.
    torch.testing.assert_close(result.advantage.cpu(), wanted, atol=1e-4, rtol=1e-4)


def batch(device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """log_prob, old, token advantage, mask of 6 rows of 300 tokens, drawn on the CPU."""
    generator = torch.Generator().manual_seed(3)
    log_prob = -torch.rand(6, 300, generator=generator, dtype=torch.float64)
    old = log_prob + 0.4 * torch.randn(6, 300, generator=generator, dtype=torch.float64)
    mask = torch.arange(300) < torch.tensor([[300], [1], [40], [299], [128], [0]])
    weights = torch.rand(6, 300, generator=generator) * mask
    credit, without = token_advantages(torch.tensor([2.0, -0.25, 0, 1, -0.5, 1]), weights, 1e-6)
    assert without.tolist() == [False] * 5 + [True]
    values = [log_prob.to(dtype), old.to(dtype), credit.to(dtype), mask]
    return [value.to(device) for value in values]


@on_each_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_loss_and_gradient(dtype: torch.dtype, device: str) -> None:
    """The loss that verl calls, on `dtype` and the device, against Eq. 12 in float64 on the CPU."""
    log_prob, old, credit, mask = batch(device, dtype)
    log_prob.requires_grad_()
    # Masked positions may hold anything.
    with torch.no_grad():
        log_prob[~mask] = torch.nan
    config = SimpleNamespace(
        global_batch_info={"global_batch_size": 5, "dp_size": 2},
        clip_ratio_low=0.2,
        clip_ratio_high=0.28,
    )
    loss, metrics = care_policy_loss(old, log_prob, credit, mask, config=config)
    loss.backward()

    exact = [value.detach().cpu().double() for value in (log_prob, old, credit)]
    exact[0].requires_grad_()
    wanted, stats = clipped_surrogate(*exact, mask.cpu(), 5, 0.2, 0.28)
    (2 * wanted).backward()
    torch.testing.assert_close(loss.cpu().double(), 2 * wanted, atol=1e-5, rtol=1e-5)
    assert metrics["actor/pg_clipfrac"] == pytest.approx(float(stats.rate))
    assert 0 < float(stats.rate) < 1
    assert log_prob.grad is not None
    assert log_prob.grad.isfinite().all()
    precision = 1e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(
        log_prob.grad.cpu().double(), exact[0].grad, atol=1e-6, rtol=precision
    )
