"""The reference model of a GRPO-CARE run: verl's, made to follow the policy shard by shard.

Policy and reference are sharded alike, so that each rank averages what it has: nothing is
gathered, and no other copy of either is made. The reference's shards are in host memory (verl
offloads every forward-only model), where a model of 8e9 parameters costs a host thread seconds to
move and tens of seconds to compare. So each shard goes to the rank's device for that, one after the
other, and a moved one back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP1
from torch.distributed.tensor import DTensor

from care_verl.algorithm.consistency import ema_step, relative_distance
from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.common.logs import logger_of
from care_verl.platform.places import ENGINE, FSDP_CHECKPOINTS
from care_verl.platform.seam import Seam
from care_verl.training.checkpointing.checkpoints import CheckpointError

logger = logger_of(__name__)

COUNTS = "counts_world_size_{world}_rank_{rank}.json"
"""Beside a rank's shard: how many optimizer steps and updates it has seen."""

_PART = 1 << 22
_CHOICE = f"{GrpoCareConfig.KEY}.resume_without_reference"


RELIES_ON = (
    Seam(
        "verl.workers.engine.base:BaseEngine.train_batch",
        "an engine's update ends in its optimizer step",
        "self.forward_backward_batch(",
        "grad_norm = self.optimizer_step()",
    ),
    Seam(
        f"{ENGINE}.optimizer_step",
        "an optimizer step skips what is not finite, and returns the norm",
        "if not torch.isfinite(grad_norm):",
        "self.optimizer.zero_grad()",
        "self.optimizer.step()",
        "return grad_norm.item()",
    ),
    Seam(
        f"{ENGINE}.initialize",
        "an engine keeps its module and its checkpoint manager",
        "self.checkpoint_manager = FSDPCheckpointManager(",
        "model=self.module",
    ),
    Seam(
        f"{ENGINE}._build_fsdp_module",
        "a forward-only model is offloaded to host memory",
        "CPUOffload(offload_params=True)",
        "self.engine_config.forward_only",
        "CPUOffloadPolicy(pin_memory=True)",
    ),
    Seam(f"{ENGINE}.optimizer_step", "moving_reference.optimizer_step", parameters="self"),
    Seam(
        f"{FSDP_CHECKPOINTS}.save_checkpoint",
        "moving_reference.save_checkpoint",
        parameters="self, local_path, hdfs_path, global_step, max_ckpt_to_keep",
    ),
    Seam(
        f"{FSDP_CHECKPOINTS}.load_checkpoint",
        "moving_reference.load_checkpoint",
        parameters="self, local_path, hdfs_path, del_local_after_load",
    ),
)


class MovingReference:
    """Moves the reference after every `every` optimizer steps, and counts them.

    Args:
        policy, reference: verl's FSDP engines of one rank.
        settings: `decay`, `every`, `resume_without_reference`.

    Raises:
        ValueError: the two are not sharded alike.
    """

    def __init__(self, policy: Any, reference: Any, settings: GrpoCareConfig) -> None:
        self._policy, self._reference, self._settings = policy, reference, settings
        self._steps = 0
        self._updates = 0
        self._skipped = 0
        self._moved = False
        self._device = torch.device(policy.device_mesh.device_type)
        list(self._pairs())

    def after_optimizer_step(self, grad_norm: float) -> None:
        """Count a step of the policy's optimizer, and move the reference if it is due.

        **Settled**: verl skips a step whose gradient's norm is not finite; it does not count.
        """
        if not math.isfinite(grad_norm):
            self._skipped += 1
            return
        self._steps += 1
        if self._steps % self._settings.every == 0:
            self._move(self._settings.decay)
            self._updates += 1
            self._moved = True

    def take_counts(self) -> dict[str, float]:
        """Optimizer steps and updates so far, and the steps skipped since the last call."""
        skipped, self._skipped = self._skipped, 0
        return {"optimizer_steps": self._steps, "updates": self._updates, "skipped": skipped}

    def take_distance(self) -> float | None:
        """`distance`, or None where the reference has not moved since the last call; collective."""
        moved, self._moved = self._moved, False
        return self.distance() if moved else None

    def distance(self) -> float:
        """||policy - reference|| / ||reference|| over all parameters and ranks; collective."""
        sums = torch.zeros(2, dtype=torch.float64, device=self._device)
        for _, reference, policy in self._pairs():
            theirs = reference.to(self._device)
            sums[0] += squares(policy.to(self._device, theirs.dtype) - theirs)
            sums[1] += squares(theirs)
        # Shards that several ranks hold count in both sums as often.
        torch.distributed.all_reduce(sums)
        return relative_distance(*sums.tolist())

    def save(self, folder: Path, step: int) -> None:
        """This rank's shard and counts, by verl's own checkpoint manager; collective."""
        self._reference.checkpoint_manager.save_checkpoint(local_path=str(folder), global_step=step)
        counts = {"optimizer_steps": self._steps, "updates": self._updates}
        self._counts_file(folder).write_text(json.dumps(counts))

    def check(self, folder: Path) -> None:
        """Raise CheckpointError unless `load` can take the reference from a checkpoint.

        Without one, it can where `resume_without_reference` allows it.
        """
        counts = self._counts_file(folder)
        if counts.exists() or self._settings.resume_without_reference == "policy":
            return
        raise CheckpointError(
            f"the checkpoint {folder.parent} has no moving reference: there is no "
            f"{folder.name}/{counts.name}. It was written by another method or with another number "
            f"of ranks. Resume from one that has it, or set ++{_CHOICE}=policy to begin with the "
            "checkpoint's policy as the reference"
        )

    def load(self, folder: Path) -> None:
        """What `save` wrote, once the policy is loaded; collective."""
        counts = self._counts_file(folder)
        if not counts.exists():
            logger.warning("%s = policy: the reference begins as the loaded policy", _CHOICE)
            self._move(decay=0.0)
            return
        self._reference.checkpoint_manager.load_checkpoint(local_path=str(folder))
        known = json.loads(counts.read_text())
        self._steps, self._updates = int(known["optimizer_steps"]), int(known["updates"])

    def _move(self, decay: float) -> None:
        with torch.no_grad():
            for _, reference, policy in self._pairs():
                theirs, ours = reference.to(self._device), policy.to(self._device)
                reference.copy_(ema_step(theirs, ours, decay))

    def _pairs(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(name, reference's shard, policy's shard) of each parameter."""
        modules = (self._reference.module, self._policy.module)
        for module in modules:
            reshard(module)
        theirs, ours = (dict(module.named_parameters()) for module in modules)
        if theirs.keys() != ours.keys():
            name = sorted(theirs.keys() ^ ours.keys())[0]
            raise ValueError(_not_alike(f"only one of them has a parameter {name}"))
        for name, parameter in theirs.items():
            reference, policy = local_shard(parameter), local_shard(ours[name])
            if reference.shape != policy.shape:
                sizes = f"{tuple(reference.shape)} and {tuple(policy.shape)}"
                raise ValueError(_not_alike(f"this rank's parts of {name} have shapes {sizes}"))
            yield name, reference, policy

    def _counts_file(self, folder: Path) -> Path:
        manager = self._reference.checkpoint_manager
        return folder / COUNTS.format(world=manager.world_size, rank=manager.rank)


def counting(optimizer_step: Callable[[], float], after: Callable[[float], None]) -> Any:
    """verl's `engine.optimizer_step`, which returns the gradient's norm; `after` is told it."""

    def counted() -> float:
        grad_norm = optimizer_step()
        after(grad_norm)
        return grad_norm

    return counted


def reshard(module: nn.Module) -> None:
    """Give back what a forward pass gathered.

    A part that stayed whole would hide its shard, and the next pass would take it as it was.
    """
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()
        elif isinstance(part, FSDP1):
            _reshard_fsdp1(part._handle)


def _reshard_fsdp1(handle: Any) -> None:
    """Not before the first pass: until then FSDP1 has no shard beside the parameter itself."""
    if handle is None or not handle.uses_sharded_strategy:
        return
    if hasattr(handle.flat_param, "_local_shard"):
        handle.reshard(True)


def local_shard(parameter: Tensor) -> Tensor:
    """This rank's part of a parameter, sharing its memory."""
    value = parameter.detach()
    return value.to_local() if isinstance(value, DTensor) else value


def squares(values: Tensor) -> Tensor:
    """Sum of squares, a float64 scalar on the values' device, which is not waited for.

    In float32 within parts of `_PART` values, whose sums are added in float64: a GPU adds float64
    at a fraction of its speed, and a copy of a shard in float64 takes twice its memory.
    """
    # `sum` adds pairwise; on a CPU `vector_norm` adds in order and is off by 1e-3 here.
    parts = [part.square().sum() for part in values.float().flatten().split(_PART)]
    return torch.stack(parts).double().sum()


def _not_alike(found: str) -> str:
    return (
        f"policy and reference are not sharded alike: {found}. Set the keys of "
        "actor_rollout_ref.ref.fsdp_config (fsdp_size, wrap_policy, use_orig_params) as in "
        "actor_rollout_ref.actor.fsdp_config"
    )
