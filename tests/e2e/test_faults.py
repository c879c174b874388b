"""What ends a CARE run and what it survives: really done to real processes, and what is left.

The faults that a user meets most often; the others are in `test_fault_proofs` (`make proofs`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from care_verl.data.embedded.coldstart import EmbeddedPaths

from .faults import CUT_PNG, NOT_AN_IMAGE, SMALL, ended, groups, with_images
from .moments import PLANTED, Moment, Moments
from .running import Run

pytestmark = pytest.mark.e2e


def test_an_engine_killed_in_the_rollout_ends_the_run_with_its_name(
    overrides: list[str], tmp_path: Path
) -> None:
    """In the second step, with requests under way in the engine."""
    at = Moments(tmp_path / "marks", Moment("rollout", "kill", 2, 20, whom="EngineCore"))
    settings = [*overrides, *SMALL, "trainer.total_training_steps=500"]
    with Run(tmp_path / "run", settings, at.environment()) as run:
        at.wait_for(run, "rollout")
        ended(run, "RolloutDiedError: the vLLM engine of rollout replica 0 died")


def test_faults_of_single_groups_are_survived_and_ctrl_c_leaves_nothing(
    embedded: EmbeddedPaths, overrides: list[str], tmp_path: Path
) -> None:
    """Six faults in two steps, each in a group of its own; all other groups are trained on.

    In the third step the run is ended as from a terminal.

    The session that fails and the reward that is NaN are in the first step's first group and in one
    of the second step's. That the engine drops a request that took too long is shown in
    `tests/rollout/test_server`.
    """
    missing = {"bytes": None, "path": "/not/there.png"}
    broken = {3: CUT_PNG, 9: NOT_AN_IMAGE, 11: missing}
    rows = with_images(embedded.train, tmp_path / "rows.parquet", broken, count=64)
    at = Moments(
        tmp_path / "marks",
        Moment("rollout", "raise", step=1, prompt="p00000"),
        Moment("reward", "nan", step=2),
        Moment("served reflection", "delay", seconds=120),
    )
    settings = [
        *[*overrides, *SMALL, f"data.train_files={rows}", "data.shuffle=False"],
        "+algorithm.care.rgr.timeout_s=5",
        "trainer.total_training_steps=500",
    ]
    with Run(tmp_path / "run", settings, at.environment()) as run:
        run.wait_for_step(2)
        run.interrupt()
        ended(run, "KeyboardInterrupt")
    (_, first), (_, second) = run.metrics()
    assert (first["care/groups/failed"], groups(first)) == (2, 6)
    assert (second["care/groups/failed"], groups(second)) == (3, 5)
    timeouts = [data.get("care/rgr/skipped/timeout", 0) for data in (first, second)]
    assert sum(timeouts) == 1
    for data, late in zip((first, second), timeouts, strict=True):
        assert data["care/rows/total"] == groups(data) * 8 + data["care/rgr/triggered"]
        assert data["care/rgr/triggered"] == data["care/groups/mixed"] - late
        assert data["care/rows/updated"] > 0
        assert data["actor/grad_norm"] > 0
        assert data["care/updates/skipped"] == 0
    for cause in (
        f"RuntimeError: {PLANTED}: rollout",
        "the reward is nan; expected a finite number",
        f"ValueError: an image of {len(CUT_PNG)} bytes",
        f"ValueError: an image of {len(NOT_AN_IMAGE)} bytes",
        "FileNotFoundError: [Errno 2] No such file or directory: '/not/there.png'",
    ):
        assert cause in run.log, cause
