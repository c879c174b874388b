"""The tables of seams against the installed verl: each test is one seam, and names it.

A failure says which adapter to look at before any run goes wrong. That the seams together make a
training run is shown end to end only.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from care_verl.seams import SEAMS, Seam


@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: seam.name)
def test_seam(seam: Seam) -> None:
    fault = seam.fault()
    assert fault is None, f"{fault}; {seam.remedy}"


def test_names_are_unique() -> None:
    assert len({seam.name for seam in SEAMS}) == len(SEAMS)


@pytest.mark.parametrize("user", sorted({seam.user for seam in SEAMS}))
def test_who_relies_on_a_seam_exists(user: str) -> None:
    assert find_spec(f"care_verl.{user}") is not None
