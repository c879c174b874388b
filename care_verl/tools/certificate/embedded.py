"""A capture made on the spot: the embedded task, a short cold start, one real step."""

from __future__ import annotations

import sys
from pathlib import Path

from care_verl.common.children import logged_run
from care_verl.data.embedded.coldstart import cold_start, prepare_embedded

SEED = 0
TRAIN_CHARTS, TEST_CHARTS = 256, 16
COLD_START_STEPS = 150
"""Fewer than the demo: groups must be mixed, the policy need not be good."""

PROMPTS = 64
"""Twice the recipe's: about one reflection in ten succeeds, and the step should have some."""


def embedded_capture(folder: Path) -> Path:
    """The captured first step of a run in `folder`; made there unless an earlier call did.

    Raises CommandFailedError when the cold start or the run ends with an error.
    """
    capture = folder / "step_1.safetensors"
    if capture.exists():
        return capture
    paths = prepare_embedded(folder / "data", SEED, TRAIN_CHARTS, TEST_CHARTS)
    policy = cold_start(paths, SEED, COLD_START_STEPS)
    overrides = [
        "+recipe=embedded",
        f"data.train_files={paths.train}",
        f"data.val_files={paths.test}",
        f"data.seed={SEED}",
        f"data.train_batch_size={PROMPTS}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS // 2}",
        f"actor_rollout_ref.model.path={policy}",
        f"actor_rollout_ref.rollout.seed={SEED}",
        "++algorithm.care.capture.step=1",
        f"++algorithm.care.capture.folder={folder}",
        "trainer.total_training_steps=1",
        "trainer.save_freq=-1",
        "trainer.logger=[console]",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
    ]
    logged_run(
        [sys.executable, "-m", "verl.trainer.main_ppo", *overrides],
        folder / "run.log",
        {"OMP_WAIT_POLICY": "PASSIVE"},
        lambda: None,
    )
    return capture
