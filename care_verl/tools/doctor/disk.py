"""Room for checkpoints and shared memory."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.memory import GIB, Plan

CHECK = Check("disk")
SHARED_MEMORY = Path("/dev/shm")
# verl writes the exported model in 16 bits.
_EXPORTED = 2
# Below this Ray's object store and NCCL do not start.
_LEAST_SHARED = 1 * GIB
_DECIDED = "trainer.default_local_dir"


@dataclass(frozen=True)
class Checkpoints:
    """What a run will keep. `at_once`: checkpoints on the disk at the peak; None for no limit."""

    folder: Path
    size: float
    at_once: int | None
    total: int | None

    @classmethod
    def of(cls, config: DictConfig, plan: Plan) -> Checkpoints | None:
        """Those of a run; None for one that saves none."""
        trainer = config.trainer
        if int(trainer.save_freq) <= 0:
            return None
        keep = trainer.max_actor_ckpt_to_keep
        steps = trainer.total_training_steps
        return cls(
            Path(trainer.default_local_dir).absolute(),
            checkpoint_size(plan, _contents(config, "actor"))
            + checkpoint_size(plan, _contents(config, "ref")),
            # The newest whole one stays while the next is written.
            None if not keep or int(keep) < 1 else max(2, int(keep)),
            None if steps is None else -(-int(steps) // int(trainer.save_freq)),
        )

    @property
    def needed(self) -> float:
        """Bytes of those on the disk at the peak."""
        return self.peak * self.size

    @property
    def peak(self) -> int:
        """Checkpoints to make room for; two where neither a limit nor the steps are known."""
        limits = [each for each in (self.at_once, self.total) if each is not None]
        return min(limits) if limits else 2


def checkpoint_size(plan: Plan, contents: list[str]) -> float:
    """Bytes of one checkpoint, all ranks together (`actor.checkpoint.save_contents`)."""
    model = plan.model.parameters + plan.model.lora * plan.lora_rank
    parts = {
        "model": model * plan.weight,
        "optimizer": plan.trained * plan.weight * 2,
        "hf_model": plan.model.parameters * _EXPORTED,
    }
    return float(sum(parts.get(name, 0) for name in contents))


def _contents(config: DictConfig, role: str) -> list[str]:
    """What a role saves. A reference has a checkpoint only where it moves, in GRPO-CARE."""
    contents = OmegaConf.select(config, f"actor_rollout_ref.{role}.checkpoint.save_contents")
    return list(contents or [])


def check_checkpoints(wanted: Checkpoints | None, free: int) -> list[Finding]:
    """Whether the checkpoints fit into `free` bytes."""
    if wanted is None:
        return [
            CHECK.warning(
                "trainer.save_freq is not positive: the run saves no checkpoint",
                "set trainer.save_freq=20 or the like, and trainer.max_actor_ckpt_to_keep=2",
            )
        ]
    text = (
        f"{wanted.peak} checkpoints of about {size_text(wanted.size)} each are "
        f"{size_text(wanted.needed)}; {wanted.folder} has {size_text(free)} free"
    )
    if wanted.needed > free:
        return [
            CHECK.error(
                text,
                f"make room, choose another {_DECIDED}, lower trainer.max_actor_ckpt_to_keep, or "
                "leave parts out of actor_rollout_ref.actor.checkpoint.save_contents",
            )
        ]
    if wanted.at_once is None and (wanted.total is None or wanted.total > 2):
        return [
            CHECK.warning(
                f"{text}; every checkpoint is kept, {wanted.total or 'an unknown number'} in all",
                "set trainer.max_actor_ckpt_to_keep=2",
            )
        ]
    return [CHECK.ok(text)]


def check_folder(folder: Path) -> list[Finding]:
    """Whether the run may write to the folder, or make it."""
    from care_verl.training.run.disk import existing_part

    there = existing_part(folder)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return []
    why = "may not be written to" if there.is_dir() else "is no folder"
    return [CHECK.error(f"{_DECIDED} = {folder}: {there} {why}", f"choose another {_DECIDED}")]


def check_shared_memory(free: int, buckets: int) -> list[Finding]:
    """Whether /dev/shm holds what travels through it.

    buckets: bytes of the buffers by which weights reach vLLM; 0 where they go through the GPU.
    """
    check = Check("shared memory")
    text = f"{SHARED_MEMORY} has {size_text(free)} free"
    if free >= _LEAST_SHARED + buckets:
        return [check.ok(text)]
    return [
        check.error(
            f"{text}; Ray's object store, NCCL and {size_text(buckets)} of weight buffers are "
            "there",
            "give a container --shm-size=16g or more (Docker) or an emptyDir of medium Memory "
            "(Kubernetes); remove files that dead runs left; or lower actor_rollout_ref.rollout."
            "checkpoint_engine.update_weights_bucket_megabytes",
        )
    ]


def on_one_disk(one: Path, other: Path) -> bool:
    """Whether both folders are on the same file system, or will be."""
    from care_verl.training.run.disk import existing_part

    first, second = (existing_part(folder).stat().st_dev for folder in (one, other))
    return first == second


def free_bytes(folder: Path) -> int:
    """Free space where the folder is, or will be."""
    from care_verl.training.run.disk import existing_part

    return shutil.disk_usage(existing_part(folder)).free


def size_text(count: float) -> str:
    """A number of bytes for messages."""
    return f"{count / GIB:.1f} GiB" if count >= GIB / 10 else f"{count / 2**20:.0f} MiB"
