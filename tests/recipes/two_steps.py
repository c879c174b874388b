"""Two steps of a recipe on the embedded model, and what its switch did to them.

As a script it runs compositions one after the other and writes a table of outcomes:

    python -m tests.recipes.two_steps OUT DATA POLICY method/care ablation/k2 ...

DATA is a folder with train.parquet and test.parquet, POLICY a cold-started model, as `care-verl
demo` leaves them in `data-seed0`. Without names, all methods and ablations.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from care_verl.tools.recipes.catalogue import catalogue
from tests.e2e.running import Run
from tests.recipes.effects import Evidence, check_effect

EXPERIMENT = "care_qwen2_5_vl_7b"
REPLACED = ("model/embedded", "data/embedded", "hardware/cpu")
PROMPTS = 32
"""A step, as in the embedded task: one group in eight is mixed, and the switches show in those."""


def names() -> list[str]:
    """Every method and every ablation."""
    return [
        recipe.name for recipe in catalogue() if recipe.name.startswith(("method/", "ablation/"))
    ]


def composition(name: str) -> str:
    """A method in the place of CARE, or an ablation on top of it, then what is replaced."""
    return f"+recipe=[{','.join((EXPERIMENT, name, *REPLACED))}]"


def overrides(name: str, train: Path, test: Path, policy: Path) -> list[str]:
    return [
        composition(name),
        f"data.train_files={train}",
        f"data.val_files={test}",
        f"actor_rollout_ref.model.path={policy}",
        f"data.train_batch_size={PROMPTS}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS // 2}",
        "trainer.total_training_steps=2",
    ]


def run_two_steps(name: str, folder: Path, settings: Sequence[str]) -> Evidence:
    """Run it and check what every recipe must show. Raises AssertionError."""
    with Run(folder, settings) as run:
        assert run.finish() == 0, run.tail()
        metrics = dict(run.metrics())
    assert set(metrics) == {0, 1, 2}, sorted(metrics)
    evidence = Evidence(folder, metrics)
    for step in (0, 2):
        # Held-out rows, decoded once each, read by the verifier.
        assert any(key.endswith("/acc/mean@1") for key in metrics[step]), sorted(metrics[step])
    for step in (1, 2):
        assert metrics[step]["actor/grad_norm"] > 0
        assert "timing_s/update_weights" in metrics[step]
    return evidence


def main(out: Path, data: Path, policy: Path, wanted: Sequence[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    table = out / "two_steps.md"
    if not table.exists():
        table.write_text("| recipe | outcome | seconds |\n|---|---|---|\n")
    for name in wanted or names():
        settings = overrides(name, data / "train.parquet", data / "test.parquet", policy)
        start = time.monotonic()
        try:
            check_effect(name, run_two_steps(name, out / name.replace("/", "-"), settings))
            outcome = "ran"
        except AssertionError as error:
            failed = traceback.extract_tb(error.__traceback__)[-1]
            said = " ".join(str(error).split())[-300:]
            outcome = f"FAILED: {Path(failed.filename).name}:{failed.lineno} {failed.line} {said}"
        with table.open("a") as file:
            file.write(f"| `{name}` | {outcome} | {time.monotonic() - start:.0f} |\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4:])
