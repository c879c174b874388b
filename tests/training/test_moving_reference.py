"""The reference follows the policy: on one rank by hand, on two with verl's own sharding.

Two real processes with gloo shard a small transformer by FSDP2 and FSDP1 as verl does, run a
forward pass of it, and average, save and load. verl's engines are stood in for by their modules and
their checkpoint manager. Nothing on a GPU is shown here, and with FSDP1 no offloaded parameters.
"""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, fully_shard
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP1
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.training.checkpointing.checkpoints import CheckpointError
from care_verl.training.grpo_care import moving_reference
from care_verl.training.grpo_care.moving_reference import (
    _PART,
    MovingReference,
    counting,
    local_shard,
    squares,
)


def engine(module: nn.Module, rank: int = 0, world: int = 1) -> Any:
    """verl's engine as far as it is used: here checkpoints are one file of state a rank."""

    def path(folder: str) -> Path:
        return Path(folder) / f"model_world_size_{world}_rank_{rank}.pt"

    def save(local_path: str, global_step: int) -> None:
        Path(local_path).mkdir(parents=True, exist_ok=True)
        torch.save([local_shard(value) for value in module.parameters()], path(local_path))

    def load(local_path: str) -> None:
        for value, saved in zip(
            module.parameters(), torch.load(path(local_path), weights_only=True), strict=True
        ):
            local_shard(value).copy_(saved)

    manager = SimpleNamespace(
        rank=rank, world_size=world, save_checkpoint=save, load_checkpoint=load
    )
    mesh = SimpleNamespace(device_type="cpu")
    return SimpleNamespace(module=module, checkpoint_manager=manager, device_mesh=mesh)


def linear(*weights: float) -> nn.Module:
    module = nn.Linear(len(weights), 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([weights]))
    return module


def weights(module: nn.Module) -> list[float]:
    return [float(value) for value in next(module.parameters()).flatten()]


def test_the_reference_moves_at_every_second_step_and_skipped_ones_do_not_count() -> None:
    """0.9·1 + 0.1·2 = 1.1 at the second step that was taken, then 0.9·1.1 + 0.1·2 = 1.19."""
    policy, reference = linear(2.0), linear(1.0)
    moving = MovingReference(engine(policy), engine(reference), GrpoCareConfig(decay=0.9, every=2))
    norms = iter([0.5, math.nan, math.inf, 0.5, 0.5, 0.5])
    step = counting(lambda: next(norms), moving.after_optimizer_step)
    seen = []
    for _ in range(6):
        step()
        seen += weights(reference)
    assert seen == pytest.approx([1.0, 1.0, 1.0, 1.1, 1.1, 1.19])
    assert weights(policy) == [2.0]
    assert moving.take_counts() == {"optimizer_steps": 4, "updates": 2, "skipped": 2}
    assert moving.take_counts()["skipped"] == 0


def test_verls_gradient_norm_is_passed_on() -> None:
    assert counting(lambda: 0.25, lambda norm: None)() == 0.25


def test_a_reference_of_another_shape_is_refused() -> None:
    for other in (linear(1.0, 2.0), nn.Sequential(linear(1.0))):
        with pytest.raises(ValueError, match="not sharded alike: .*ref.fsdp_config"):
            MovingReference(engine(linear(1.0)), engine(other), GrpoCareConfig())


def test_a_checkpoint_without_a_reference_is_refused_unless_allowed(tmp_path: Path) -> None:
    folder = tmp_path / "global_step_4" / "reference"
    policy, reference = linear(2.0), linear(1.0)
    refusing = MovingReference(engine(policy), engine(reference), GrpoCareConfig())
    with pytest.raises(CheckpointError) as refusal:
        refusing.check(folder)
    for part in ("global_step_4 has no moving reference", "resume_without_reference=policy"):
        assert part in str(refusal.value)
    allowed = GrpoCareConfig(resume_without_reference="policy")
    allowing = MovingReference(engine(policy), engine(reference), allowed)
    allowing.check(folder)
    allowing.load(folder)
    assert weights(reference) == [2.0]
    assert allowing.take_counts()["optimizer_steps"] == 0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def model(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0) for _ in range(2)]
    return nn.Sequential(nn.Linear(6, 8), *layers, nn.Linear(8, 3))


def fsdp2(module: nn.Sequential, forward_only: bool, reshard: bool = True) -> nn.Module:
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    options: dict[str, Any] = {"mesh": mesh, "reshard_after_forward": reshard}
    if forward_only:
        options["offload_policy"] = CPUOffloadPolicy(pin_memory=False)
    for layer in [part for part in module if isinstance(part, nn.TransformerEncoderLayer)]:
        fully_shard(layer, **options)
    return fully_shard(module, **options)  # type: ignore[return-value]


def fsdp1(module: nn.Sequential, forward_only: bool) -> nn.Module:
    """verl also offloads a forward-only one, for which torch needs an accelerator."""
    del forward_only
    return FSDP1(
        module,
        auto_wrap_policy=ModuleWrapPolicy({nn.TransformerEncoderLayer}),
        device_id=torch.device("cpu"),
    )


def left_gathered(module: nn.Sequential, forward_only: bool) -> nn.Module:
    """`fsdp_config.reshard_after_forward=False`."""
    return fsdp2(module, forward_only, reshard=False)


SHARD = {"fsdp2": fsdp2, "fsdp2, left gathered": left_gathered, "fsdp1": fsdp1}


def outputs(module: nn.Module) -> torch.Tensor:
    """As verl does for log-probabilities: without a gradient, in evaluation mode."""
    module.eval()
    with torch.no_grad():
        result: torch.Tensor = module(torch.linspace(-1, 1, 4 * 2 * 6).reshape(4, 2, 6))
    return result.clone()


def averaged() -> nn.Module:
    """What one process makes of both, all parameters whole: one step with decay 0.75."""
    policy, reference = model(0), model(1)
    with torch.no_grad():
        for ours, theirs in zip(policy.parameters(), reference.parameters(), strict=True):
            theirs.mul_(0.75).add_(0.25 * ours)
    return reference


def whole_distance(policy: nn.Module, reference: nn.Module) -> float:
    ours, theirs = (
        torch.cat([value.flatten() for value in module.parameters()])
        for module in (policy, reference)
    )
    return float((ours - theirs).norm() / theirs.norm())


def rank_main(rank: int, world: int, port: int, strategy: str, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world
    )
    try:
        shard: Callable[[nn.Sequential, bool], nn.Module] = SHARD[strategy]
        policy, reference = shard(model(0), False), shard(model(1), True)
        settings = GrpoCareConfig(decay=0.75, every=1)
        moving = MovingReference(
            engine(policy, rank, world), engine(reference, rank, world), settings
        )
        torch.testing.assert_close(outputs(reference), outputs(model(1)))
        assert moving.distance() == pytest.approx(whole_distance(model(0), model(1)), rel=1e-6)
        assert moving.take_distance() is None
        moving.after_optimizer_step(1.0)
        # The pass before must not have left anything gathered that this one would read.
        torch.testing.assert_close(outputs(reference), outputs(averaged()))
        torch.testing.assert_close(outputs(policy), outputs(model(0)))
        told = moving.take_distance()
        assert told == pytest.approx(whole_distance(model(0), averaged()), rel=1e-5)
        assert moving.take_distance() is None

        moving.save(Path(folder), step=1)
        moving.after_optimizer_step(1.0)
        later = outputs(reference)
        again = MovingReference(
            engine(policy, rank, world), engine(reference, rank, world), settings
        )
        again.check(Path(folder))
        again.load(Path(folder))
        assert torch.equal(outputs(reference), outputs(reference))
        torch.testing.assert_close(outputs(reference), outputs(averaged()))
        again.after_optimizer_step(1.0)
        assert torch.equal(outputs(reference), later)
        assert again.take_counts() == {"optimizer_steps": 2, "updates": 2, "skipped": 0}
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("count", [0, 1, 7, 3 * _PART + 5])
def test_squares_in_parts_are_those_in_float64(count: int) -> None:
    """A float32 sum of twelve million squares in one go would be off by far more."""
    values = torch.randn(count, generator=torch.Generator().manual_seed(0)) * 1e-3
    assert float(squares(values)) == pytest.approx(float(values.double().square().sum()), rel=1e-6)
    equal = torch.full_like(values, 0.02)
    assert float(squares(equal)) == pytest.approx(count * float(equal[:1].double().sum()) ** 2)
    assert squares(values).dtype == torch.float64
    assert float(squares(values.bfloat16())) == pytest.approx(float(squares(values)), rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", list(SHARD))
def test_two_ranks_average_what_they_have(strategy: str, tmp_path: Path) -> None:
    """Each saves its own part, and the loaded reference goes on as the one that was saved."""
    world = 2
    torch.multiprocessing.spawn(
        rank_main, args=(world, free_port(), strategy, str(tmp_path)), nprocs=world
    )
    files = sorted(path.name for path in tmp_path.iterdir())
    shards = [f"model_world_size_{world}_rank_{rank}.pt" for rank in range(world)]
    counts = [moving_reference.COUNTS.format(world=world, rank=rank) for rank in range(world)]
    assert files == sorted(shards + counts)
    assert json.loads((tmp_path / counts[1]).read_text()) == {"optimizer_steps": 1, "updates": 1}


def test_fsdp_parts_are_told_apart() -> None:
    assert not issubclass(FSDP1, FSDPModule)
