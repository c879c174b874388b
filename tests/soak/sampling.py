"""What the processes of a run hold at one moment, by role."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

MIB = 2**20

ROLES = {
    "verl.trainer.main_ppo": "driver",
    "ray::TaskRunner": "trainer",
    "ray::CareAgentLoopWorker": "agent-loop worker",
    "ray::RewardLoopWorker": "reward worker",
    "care_verl.verifier.symbolic": "verifier processes",
    "ray::CareVLLMServer": "vLLM server",
    "VLLM::EngineCore": "vLLM engine core",
    "VLLM::Worker": "vLLM worker",
    "ray::WorkerDict": "FSDP actor",
    "ray::TransferQueueController": "queue controller",
    "ray::SimpleStorageUnit": "queue storage",
    "ray::GlobalRequestLoadBalancer": "load balancer",
    "gcs_server": "Ray GCS",
    "raylet/raylet": "raylet",
}
OTHERS = "other processes"


def role(command: str) -> str:
    """The role of a process, by its command line."""
    return next((name for text, name in ROLES.items() if text in command), OTHERS)


def sample(processes: Iterable[psutil.Process], step: int) -> dict[str, Any]:
    """One record: time, step, sums by role of unique memory, descriptors, threads; /dev/shm."""
    roles: dict[str, dict[str, float]] = defaultdict(
        lambda: {"uss_mib": 0.0, "descriptors": 0, "threads": 0, "processes": 0}
    )
    for process in processes:
        try:
            held = {
                "uss_mib": process.memory_full_info().uss / MIB,
                "descriptors": process.num_fds(),
                "threads": process.num_threads(),
                "processes": 1,
            }
            sums = roles[role(" ".join(process.cmdline()))]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        for name, value in held.items():
            sums[name] += value
    files, size = shared_memory(Path("/dev/shm"))
    return {
        "time": time.time(),
        "step": step,
        "roles": dict(roles),
        "shm_files": files,
        "shm_mib": size / MIB,
    }


def shared_memory(folder: Path) -> tuple[int, int]:
    """Files below `folder` and their bytes."""
    sizes = []
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(os.stat(os.path.join(place, name)).st_size)
            except FileNotFoundError:
                continue
    return len(sizes), sum(sizes)
