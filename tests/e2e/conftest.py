"""One short cold start for all end-to-end tests, by the demo's own code; and two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from care_verl.data.embedded.coldstart import EmbeddedPaths, cold_start, prepare_embedded
from care_verl.platform.loopback import RAY_SWITCH

from .jobs import DISK, SMALL, slurm_environment
from .nodes import Node, two_nodes

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


@pytest.fixture(scope="module")
def nodes(embedded: EmbeddedPaths) -> Iterator[list[Node]]:
    with two_nodes(DISK) as both, pytest.MonkeyPatch.context() as patch:
        # Set in this process by the plugin, when the model of `embedded` was made.
        patch.delenv(RAY_SWITCH, raising=False)
        yield both


@pytest.fixture(scope="module")
def slurm(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a job whose `srun` enters the nodes."""
    return slurm_environment(tmp_path_factory.mktemp("slurm"), nodes)


@pytest.fixture(scope="module")
def settings(overrides: list[str]) -> list[str]:
    """Two steps on both nodes."""
    return ["+recipe=[embedded,hardware/cpu_cluster]", *overrides[1:], *SMALL]
