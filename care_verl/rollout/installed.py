"""What the installed vLLM would do, read from its files.

Importing vLLM would take seconds and memory, and in a driver or on a login node its platform may
not be the one of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

V1_RUNNER = "v1/worker/gpu_model_runner.py"
V2_RUNNER = "v1/worker/gpu/model_runner.py"
DUMMY_LOADER = "model_executor/model_loader/dummy_loader.py"
_CONFIG = "config/vllm.py"
_CHOICE = "def use_v2_model_runner("
_BY_ARCHITECTURE = "if not self._is_default_v2_model_runner_model():"
_DUMMY_WEIGHTS = "def load_weights(self, model: nn.Module, model_config: ModelConfig)"


def vllm_folder() -> Path | None:
    """Where vLLM lies; None where it is not installed."""
    spec = find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def source_of(folder: Path, file: str) -> str:
    """A file of vLLM; empty where this release has none of that name."""
    path = folder / file
    return path.read_text(encoding="utf-8") if path.exists() else ""


@dataclass(frozen=True)
class RunnerChoice:
    """Which model runner a release takes on a GPU. On a CPU it takes V1.

    hookable: whether it has the V1 runner, which the harvest hooks. by_itself: what it takes unless
    VLLM_USE_V2_MODEL_RUNNER says otherwise.
    """

    hookable: bool
    by_itself: str

    @classmethod
    def of(cls, folder: Path) -> RunnerChoice:
        """Of the vLLM in this folder."""
        hookable = bool(source_of(folder, V1_RUNNER))
        if not hookable:
            return cls(hookable, "V2, and has no other")
        if not source_of(folder, V2_RUNNER):
            return cls(hookable, "V1, and has no other")
        choice = source_of(folder, _CONFIG).partition(_CHOICE)[2]
        if not choice:
            return cls(hookable, "one that care-verl cannot tell")
        if _BY_ARCHITECTURE in choice.partition("\n    def ")[0]:
            return cls(hookable, "V2 for some architectures, V1 for the others")
        return cls(hookable, "V2 wherever V2 can do what a run asks for")


def check_dummy_weights(load_format: str) -> None:
    """Raise ValueError where dummy weights might reach what no update restores.

    `platform.vllm_buffers` mends a loader that is as known. With another, verl's default
    `load_format=dummy` could leave a policy that does not see its images.
    """
    folder = vllm_folder()
    if not load_format.startswith("dummy") or folder is None:
        return
    if _DUMMY_WEIGHTS not in source_of(folder, DUMMY_LOADER):
        raise ValueError(
            f"rollout.load_format = {load_format!r}, but the installed vLLM's loader of dummy "
            f"weights ({folder / DUMMY_LOADER}) is not one that care-verl knows: expected "
            f"{_DUMMY_WEIGHTS!r} in it. Dummy weights may overwrite what no weight update brings "
            "back, such as the normalisation of images; set rollout.load_format=auto, or install "
            "vLLM 0.24 to 0.32"
        )
