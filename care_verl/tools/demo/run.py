"""The demo from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from care_verl.data.embedded.coldstart import EmbeddedPaths, cold_start, prepare_embedded
from care_verl.records.files import FOLDER
from care_verl.tools.demo.evaluate import Evaluation
from care_verl.tools.demo.pages import draw_pages
from care_verl.tools.demo.summary import Summary
from care_verl.tools.demo.training import train

TRAIN_CHARTS = 8192
TEST_CHARTS = 512


def run_demo(
    out_dir: Path,
    seed: int,
    steps: int,
    estimator: str,
    extra_overrides: list[str],
    console: Console,
) -> Summary:
    """Cold start, evaluate, train, evaluate; returns what the table shows."""
    out_dir = out_dir.resolve()
    run_dir = out_dir / f"{estimator}-seed{seed}"
    run_dir.mkdir(parents=True, exist_ok=True)
    with _progress(console) as progress:
        paths = prepare_embedded(out_dir / f"data-seed{seed}", seed, TRAIN_CHARTS, TEST_CHARTS)
        policy = cold_start(paths, seed, progress=progress)
        before = _evaluate(policy, paths, run_dir, seed, progress, "before")
        overrides = [*_overrides(paths, policy, run_dir, seed, steps, estimator), *extra_overrides]
        log = train(run_dir, overrides, steps, progress)
        checkpoint = run_dir / "checkpoints" / f"global_step_{steps}" / "actor"
        after = _evaluate(checkpoint / "huggingface", paths, run_dir, seed, progress, "after")
    return Summary(before, after, log, checkpoint, draw_pages(run_dir))


def _overrides(
    paths: EmbeddedPaths, policy: Path, run_dir: Path, seed: int, steps: int, estimator: str
) -> list[str]:
    return [
        "+recipe=embedded",
        f"algorithm.adv_estimator={estimator}",
        f"data.train_files={paths.train}",
        f"data.val_files={paths.test}",
        f"data.seed={seed}",
        f"actor_rollout_ref.model.path={policy}",
        f"actor_rollout_ref.rollout.seed={seed}",
        f"trainer.total_training_steps={steps}",
        f"trainer.default_local_dir={run_dir / 'checkpoints'}",
        f"++algorithm.care.records.folder={run_dir / FOLDER}",
        f"trainer.experiment_name={run_dir.name}",
    ]


def _evaluate(
    policy: Path, paths: EmbeddedPaths, run_dir: Path, seed: int, progress: Progress, when: str
) -> Evaluation:
    """In a process of its own: torch's memory must not stay while verl trains."""
    task = progress.add_task(f"Held-out accuracy {when}", total=None, info="")
    command = [sys.executable, "-m", "care_verl.tools.demo.evaluate"]
    answers = run_dir / f"answers-{when}"
    command += [str(policy), str(paths.test), str(answers), "--seed", str(seed)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"evaluating {policy} failed:\n{done.stderr[-4000:]}")
    result = Evaluation.load(when, answers)
    progress.update(task, total=1, completed=1, info=f"mean@8 {result.mean.mean:.1%}")
    return result


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}"),
        console=console,
    )
