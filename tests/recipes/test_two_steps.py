"""Every method and every ablation for two steps through `main_ppo`, on the embedded model.

Only model, data and hardware are replaced, and the batch is small. It shows that each composition
trains and evaluates, and that its switch did what it says; not that it learns.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from care_verl.data.embedded.coldstart import EmbeddedPaths, cold_start, prepare_embedded
from tests.recipes.effects import EFFECTS, check_effect
from tests.recipes.two_steps import names, overrides, run_two_steps


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedPaths:
    folder = tmp_path_factory.mktemp("embedded") / "data"
    return prepare_embedded(folder, seed=0, train_size=256, test_size=16)


@pytest.fixture(scope="module")
def policy(embedded: EmbeddedPaths) -> Path:
    """The demo's: a shorter cold start leaves too few groups with several right answers."""
    return cold_start(embedded, seed=0)


def test_each_has_an_effect_that_is_checked() -> None:
    assert sorted(EFFECTS) == sorted(names())


@pytest.mark.proof
@pytest.mark.parametrize("name", names())
def test_it_trains(name: str, embedded: EmbeddedPaths, policy: Path, tmp_path: Path) -> None:
    settings = overrides(name, embedded.train, embedded.test, policy)
    check_effect(name, run_two_steps(name, tmp_path / "run", settings))
