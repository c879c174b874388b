"""The scripts of `examples/slurm` under stand-ins for Slurm, Ray and training (`stubs`)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "examples" / "slurm"
STUBS = Path(__file__).with_name("stubs")
COMMANDS = {
    "srun": "srun",
    "scontrol": "scontrol",
    "sbatch": "sbatch",
    "ray": "ray_start",
    "python": "training",
    "torchrun": "training",
}


@dataclass
class Slurm:
    """A folder from which jobs are submitted, and what happened in them."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        commands = self.folder / "bin"
        commands.mkdir()
        for name, stub in COMMANDS.items():
            (commands / name).symlink_to(STUBS / f"{stub}.py")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CARE_")},
            "PATH": os.pathsep.join(
                [str(commands), str(Path(sys.executable).parent), "/usr/bin", "/bin"]
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STUB_FOLDER": str(self.folder),
            "STUB_MODULES": str(STUBS / "modules"),
            "CARE_SCRIPTS": str(SCRIPTS),
            "CARE_HEAD_ADDRESS": "10.0.0.1",
            "CARE_RAY_DIR": str(self.folder),
            "CARE_GATE_TIMEOUT_S": "30",
            "CARE_STOP_TIMEOUT_S": "20",
        }

    def submit(self, script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """`sbatch ARGUMENTS`, with the script's path in front of what follows its options."""
        options = [argument for argument in arguments if argument.startswith("--")]
        rest = [argument for argument in arguments if not argument.startswith("--")]
        return subprocess.Popen(
            ["sbatch", *options, str(SCRIPTS / script), *rest],
            cwd=self.folder,
            env={**self.environment, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit status and what the scripts said, of a job that ends by itself."""
        job = self.submit(script, *arguments, **environment)
        _, said = job.communicate(timeout=120)
        return job.returncode, said

    @property
    def events(self) -> list[list[str]]:
        path = self.folder / "events.jsonl"
        if not path.exists():
            return []
        lines = path.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def named(self, *names: str) -> list[list[str]]:
        """Events of these names, in the order in which they happened."""
        return [event for event in self.events if event[0] in names]

    def wait_for(self, name: str, count: int = 1) -> None:
        end = time.monotonic() + 60
        while len(self.named(name)) < count:
            assert time.monotonic() < end, f"no {name}: {self.events}"
            time.sleep(0.05)

    def signal_batch_script(self, number: signal.Signals) -> None:
        """What `--signal=B:` has Slurm do."""
        os.kill(int((self.folder / "batch.pid").read_text()), number)


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    yield Slurm(tmp_path)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get("STUB_FOLDER") == str(tmp_path):
                process.kill()
