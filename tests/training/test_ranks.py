"""Eq. 12 on one cut and on many, on one rank and on two, through the adapter that verl calls.

Two real processes with gloo count |S*| as the worker does and average gradients as FSDP does. A
small linear policy stands in for the model: sharding and FSDP's own arithmetic are not shown here.
"""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from care_verl.training.care.policy_loss import care_policy_loss
from care_verl.training.care.worker import global_row_count

ROWS, TOKENS, FEATURES = 12, 5, 3


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    advantage = torch.randn(ROWS, generator=generator)
    advantage[[1, 4, 5, 9]] = 0.0
    weights = torch.rand(ROWS, TOKENS, generator=generator)
    return {
        "features": torch.randn(ROWS, TOKENS, FEATURES, generator=generator, dtype=torch.float64),
        "advantages": (advantage[:, None] * weights).double(),
        "in_s_star": (advantage != 0).float(),
        "old": torch.randn(ROWS, TOKENS, generator=generator).double() * 0.3,
    }


def loss_and_gradient(
    rows: dict[str, torch.Tensor], micro_batches: list[list[int]], num_rows: int, dp_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    policy = torch.full((FEATURES,), 0.2, dtype=torch.float64, requires_grad=True)
    config = SimpleNamespace(
        clip_ratio_low=0.2,
        clip_ratio_high=0.28,
        global_batch_info={"global_batch_size": num_rows, "dp_size": dp_size},
    )
    total = torch.zeros((), dtype=torch.float64)
    for chosen in micro_batches:
        loss, _ = care_policy_loss(
            old_log_prob=rows["old"][chosen],
            log_prob=rows["features"][chosen] @ policy,
            advantages=rows["advantages"][chosen],
            response_mask=torch.ones(len(chosen), TOKENS),
            config=config,
        )
        loss.backward()
        total += loss.detach()
    assert policy.grad is not None
    return total, policy.grad


def reference() -> tuple[torch.Tensor, torch.Tensor]:
    rows = batch()
    return loss_and_gradient(rows, [list(range(ROWS))], int(rows["in_s_star"].sum()), dp_size=1)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_micro_batches_of_any_size_give_one_update(size: int) -> None:
    rows = batch()
    cut = [list(range(i, min(i + size, ROWS))) for i in range(0, ROWS, size)]
    loss, gradient = loss_and_gradient(rows, cut, int(rows["in_s_star"].sum()), dp_size=1)
    torch.testing.assert_close(loss, reference()[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, reference()[1], rtol=1e-12, atol=1e-12)


def rank_main(rank: int, port: int, shares: list[list[int]]) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=len(shares)
    )
    try:
        rows = batch()
        mine = shares[rank]
        count = global_row_count(rows["in_s_star"][mine], torch.distributed.group.WORLD, "cpu")
        assert count == int(rows["in_s_star"].sum())
        half = len(mine) // 2
        loss, gradient = loss_and_gradient(rows, [mine[:half], mine[half:]], count, len(shares))
        for tensor in (loss, gradient):
            torch.distributed.all_reduce(tensor)
            tensor /= len(shares)
        torch.testing.assert_close(loss, reference()[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient, reference()[1], rtol=1e-12, atol=1e-12)
    finally:
        torch.distributed.destroy_process_group()


def test_two_ranks_give_the_update_of_one() -> None:
    """The ranks hold 5 and 3 rows of S*: a per-rank mean would differ."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shares = [[0, 2, 3, 6, 7, 9], [1, 4, 5, 8, 10, 11]]
    torch.multiprocessing.start_processes(
        rank_main, args=(port, shares), nprocs=2, start_method="fork"
    )


def test_without_a_global_count_the_loss_refuses() -> None:
    with pytest.raises(RuntimeError, match="global_batch_size"):
        care_policy_loss(
            torch.zeros(1, 1),
            torch.zeros(1, 1),
            torch.zeros(1, 1),
            torch.ones(1, 1),
            config=SimpleNamespace(global_batch_info={"global_batch_size": None}),
        )
