"""Jobs of `examples/slurm` under stand-ins for Slurm, on the nodes of `nodes`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .nodes import Node
from .running import Run

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "examples" / "slurm"
STUBS = ROOT / "tests" / "examples" / "stubs"
# Short, for the names of Ray's sockets.
DISK = Path(f"/tmp/care{os.getpid()}")
LOGICAL_CPUS = 10
SMALL = ["data.train_batch_size=8", "actor_rollout_ref.actor.ppo_mini_batch_size=4"]


@dataclass
class Job(Run):
    """One of the scripts under the stand-in for `sbatch`."""

    script: str = "train.sbatch"
    nodes: int = 2

    def command(self, temporary: str) -> list[str]:
        options = [f"--nodes={self.nodes}", "--gpus-per-node=1"]
        return ["sbatch", *options, str(SCRIPTS / self.script), *self.overrides]

    @property
    def run_folder(self) -> Path:
        (folder,) = (self.folder / "runs").iterdir()
        return folder

    @property
    def logs(self) -> Path:
        (folder,) = (self.run_folder / "logs").iterdir()
        return folder

    @property
    def metrics_path(self) -> Path:
        """Of the first start."""
        return next(self.folder.glob("runs/*/logs/*-0/metrics.jsonl"), self.folder / "none yet")

    @property
    def batch_script(self) -> int:
        """Its process, to which Slurm sends signals."""
        return int((self.folder / "batch.pid").read_text())

    def tail(self, lines: int = 60) -> str:
        logs = [self.folder / "run.log", *sorted(self.folder.glob("runs/*/logs/*/*.log"))]
        ends = [log.read_text(errors="replace").splitlines()[-lines:] for log in logs]
        return "\n".join(line for end in ends for line in end)


def left_behind(job: Run, nodes: Sequence[Node]) -> list[str]:
    """Processes, sockets, shared memory, and what is on the nodes' own disks."""
    return job.leftovers() + [path for node in nodes for path in node.left(DISK)]


def slurm_environment(commands: Path, nodes: Sequence[Node]) -> dict[str, str]:
    """Of a job whose `srun` enters the nodes; the stand-ins are put into `commands`."""
    for name in ("srun", "scontrol", "sbatch"):
        (commands / name).symlink_to(STUBS / f"{name}.py")
    for node in nodes:
        enter = commands / f"enter-{node.name}"
        enter.write_text(f'#!/bin/sh\nexec {" ".join(node.enter)} "$@"\n')
        enter.chmod(0o755)
    beside_python = str(Path(sys.executable).parent)
    return {
        "PATH": os.pathsep.join([str(commands), beside_python, os.environ["PATH"]]),
        "STUB_ENTER_NODE": "enter-NODE",
        "SLURM_CPUS_ON_NODE": str(LOGICAL_CPUS),
        "CARE_SCRIPTS": str(SCRIPTS),
        "CARE_RAY_DIR": str(DISK),
        # Kept on purpose, and else in the temporary folder.
        "TORCHINDUCTOR_CACHE_DIR": str(commands / "compiled"),
    }
