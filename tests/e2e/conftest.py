"""One short cold start for all end-to-end tests, by the demo's own code."""

from __future__ import annotations

from pathlib import Path

import pytest

from care_verl.data.embedded.coldstart import EmbeddedPaths, cold_start, prepare_embedded

COLD_START_STEPS = 150
"""Fewer than the demo: groups must be mixed, the policy need not be good."""


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedPaths:
    folder = tmp_path_factory.mktemp("embedded") / "data"
    return prepare_embedded(folder, seed=0, train_size=256, test_size=16)


@pytest.fixture(scope="session")
def policy(embedded: EmbeddedPaths) -> Path:
    return cold_start(embedded, seed=0, steps=COLD_START_STEPS)


@pytest.fixture(scope="session")
def overrides(embedded: EmbeddedPaths, policy: Path) -> list[str]:
    """The embedded recipe on this policy, two steps."""
    return [
        "+recipe=embedded",
        f"data.train_files={embedded.train}",
        f"data.val_files={embedded.test}",
        f"actor_rollout_ref.model.path={policy}",
        "trainer.total_training_steps=2",
    ]
