"""From nothing to a policy that reinforcement learning can improve.

The cold start is supervised training on imperfect demonstrations (`demonstrations`), by verl's own
SFT trainer, for a fixed number of steps. After it the policy reads most bars and computes some of
the results, with the right one the likeliest: what is missing lies in both steps.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
from rich.progress import Progress

from care_verl.common.children import logged_run
from care_verl.common.files import all_or_nothing
from care_verl.data.embedded.prepare import EmbeddedPaths, prepare_embedded
from care_verl.data.embedded.sft_command import (
    BATCH_ROWS,
    COLD_START_STEPS,
    ONE_PROCESS,
    sft_command,
)

__all__ = ["EmbeddedPaths", "cold_start", "prepare_embedded"]


def cold_start(
    paths: EmbeddedPaths,
    seed: int,
    steps: int = COLD_START_STEPS,
    progress: Progress | None = None,
) -> Path:
    """Train the model on the demonstrations; return the policy's folder, in Hugging Face's form.

    The trainer runs in a process of its own and writes `cold_start.log` beside the data. `progress`
    is given a bar of steps. A policy that an earlier call finished is returned as it is.

    Raises CommandFailedError when the trainer ends with an error.
    """
    policy = paths.root / f"policy-seed{seed}-steps{steps}"
    if policy.exists():
        return policy
    _require_enough(paths.sft, steps)
    with all_or_nothing(policy) as unfinished:
        checkpoints = unfinished / "checkpoints"
        metrics = unfinished / "metrics.jsonl"
        logged_run(
            sft_command(paths.model, paths.sft, checkpoints, seed, steps),
            paths.root / "cold_start.log",
            {
                **ONE_PROCESS,
                "VERL_FILE_LOGGER_PATH": str(metrics),
                # Threads that spin while they wait take the cores from the process that loads data.
                "OMP_WAIT_POLICY": "PASSIVE",
            },
            _bar(progress, steps, metrics),
        )
        exported = checkpoints / f"global_step_{steps}" / "huggingface"
        for item in exported.iterdir():
            item.rename(unfinished / item.name)
        shutil.rmtree(checkpoints)
    return policy


def _require_enough(data: Path, steps: int) -> None:
    """No demonstration is shown twice: its errors would be learned by heart."""
    rows = pq.read_metadata(data).num_rows
    if rows < steps * BATCH_ROWS:
        raise ValueError(
            f"{data} holds {rows} demonstrations, {steps} steps of {BATCH_ROWS} need "
            f"{steps * BATCH_ROWS}: prepare with a larger sft_size, or ask for fewer steps."
        )


def _bar(progress: Progress | None, steps: int, metrics: Path) -> Callable[[], None]:
    """A function that moves the bar to the number of steps that `metrics` holds."""
    if progress is None:
        return lambda: None
    task = progress.add_task("Cold start (verl's SFT trainer)", total=steps, info="")

    def move() -> None:
        if metrics.exists():
            progress.update(task, completed=metrics.read_bytes().count(b"\n"))

    return move
