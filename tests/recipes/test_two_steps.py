"""Every method and every ablation for two steps through `main_ppo`, on the embedded model.

Only model, data and hardware are replaced, and the batch is small. It shows that each composition
trains and evaluates, and that its switch did what it says; not that it learns.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from care_verl.data.embedded.coldstart import EmbeddedPaths, cold_start, prepare_embedded
from tests.recipes.effects import EFFECTS, check_effect
from tests.recipes.two_steps import names, overrides, run_two_steps

RECIPES = Path(__file__).parents[2] / "recipes" / "recipe"


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


@pytest.mark.proof
def test_adapters_train(embedded: EmbeddedPaths, policy: Path, tmp_path: Path) -> None:
    """Those of `hardware/gpu1_lora`, on a CPU; in step 2 vLLM decodes with what step 1 trained."""
    recipe = yaml.safe_load((RECIPES / "hardware" / "gpu1_lora.yaml").read_text())
    adapters = recipe["actor_rollout_ref"]["model"]
    settings = [
        *overrides("method/care", embedded.train, embedded.test, policy),
        *(f"actor_rollout_ref.model.{key}={value}" for key, value in adapters.items()),
        "trainer.experiment_name=adapters",
    ]
    evidence = run_two_steps("method/care", tmp_path / "run", settings)
    check_effect("method/care", evidence)
    assert evidence.metrics[2]["training/rollout_probs_diff_max"] < 1e-3
    (found,) = evidence.folder.rglob("global_step_2/actor/lora_train_meta.json")
    assert json.loads(found.read_text())["r"] == adapters["lora_rank"]
