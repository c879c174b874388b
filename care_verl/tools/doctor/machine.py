"""What this machine has, and what of it a configuration asks for."""

from __future__ import annotations

import shutil
from typing import Any

import psutil
import torch
from omegaconf import DictConfig

from care_verl.platform.cpu_choice import has_accelerator_support
from care_verl.tools.doctor.disk import SHARED_MEMORY
from care_verl.tools.doctor.sizes import Sizes


def has_gpu_build() -> bool:
    """Whether torch was built for an accelerator, be there one or not."""
    return has_accelerator_support()


def gpus() -> int:
    """GPUs that torch sees."""
    return torch.cuda.device_count()


def gpu_bytes() -> float | None:
    """Memory of the smallest GPU here; None without one."""
    devices = range(torch.cuda.device_count())
    sizes = [float(torch.cuda.get_device_properties(each).total_memory) for each in devices]
    return min(sizes, default=None)


def ram_bytes() -> float:
    """Memory of the machine."""
    return float(psutil.virtual_memory().total)


def free_shared_memory() -> int:
    """Free bytes of /dev/shm."""
    return shutil.disk_usage(SHARED_MEMORY).free


def runs_on_cpu(config: DictConfig) -> bool:
    """Whether the run is one without accelerators, wherever it is looked at."""
    return str(config.trainer.device) == "cpu"


def wants_flash_attention(config: DictConfig | None) -> bool:
    """Whether the run computes attention with flash-attn, which is verl's default."""
    if config is None:
        return False
    chosen: Any = config.actor_rollout_ref.model.override_config
    return str(chosen.get("attn_implementation", "flash_attention_2")).startswith("flash")


def weight_buffers(config: DictConfig) -> int:
    """Bytes of shared memory of a node by which weights reach vLLM; on a GPU they stay in it."""
    engine = config.actor_rollout_ref.rollout.checkpoint_engine
    ranks = Sizes.of(config).gpus_per_node if runs_on_cpu(config) else 0
    return ranks * int(engine.update_weights_bucket_megabytes) * 2**20
