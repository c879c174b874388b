"""What every adapter relies on and overrides, against the installed verl: a test for each.

A failure says which adapter to look at before any run goes wrong. That all together makes a
training run is shown end to end only.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator
from types import ModuleType

import pytest

from care_verl.platform.seam import Seam, override_faults, seams_of


def adapters() -> Iterator[ModuleType]:
    for package in ("care_verl.training", "care_verl.rollout"):
        folder = importlib.import_module(package).__path__
        for item in pkgutil.walk_packages(folder, prefix=f"{package}."):
            yield importlib.import_module(item.name)


ADAPTERS = tuple(adapters())
SEAMS = [(module.__name__, seam) for module in ADAPTERS for seam in seams_of(module)]


@pytest.mark.parametrize(("module", "seam"), SEAMS, ids=[seam.name for _, seam in SEAMS])
def test_seam(module: str, seam: Seam) -> None:
    assert seam.fault() is None, f"{module}: {seam.fault()}"


@pytest.mark.parametrize("module", ADAPTERS, ids=lambda module: module.__name__)
def test_overrides_take_what_they_override(module: ModuleType) -> None:
    assert list(override_faults(module)) == []


def test_names_are_unique() -> None:
    counts = Counter(seam.name for _, seam in SEAMS)
    assert [name for name, count in counts.items() if count > 1] == []


def test_there_are_as_many_as_there_were() -> None:
    """An adapter that loses its tuple would lose its guards without any other sign."""
    assert len(SEAMS) == 94
