"""Running verl's own entry point on the embedded recipe, with a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress, TaskID

from care_verl.common.children import logged_run
from care_verl.tools.demo.run_log import RunLog


def train(run_dir: Path, overrides: Sequence[str], steps: int, progress: Progress) -> RunLog:
    """Run `python -m verl.trainer.main_ppo` with `overrides`; return its metrics.

    Output goes to `run_dir/train.log`, metrics to `run_dir/metrics.jsonl` and TensorBoard.

    Raises CommandFailedError when the run exits with an error; its message holds the log's end.
    """
    log = RunLog(run_dir / "metrics.jsonl")
    log.path.unlink(missing_ok=True)
    task = progress.add_task("Starting Ray, vLLM and FSDP", total=steps, info="")
    logged_run(
        [sys.executable, "-m", "verl.trainer.main_ppo", *overrides],
        run_dir / "train.log",
        {
            "VERL_FILE_LOGGER_PATH": str(log.path),
            "TENSORBOARD_DIR": str(run_dir / "tensorboard"),
            "OMP_WAIT_POLICY": "PASSIVE",
        },
        lambda: _show_new_steps(log, progress, task),
    )
    return log


def _show_new_steps(log: RunLog, progress: Progress, task: TaskID) -> None:
    for step, data in log.new_steps():
        accuracy = data.get("care/acc/mean", data.get("critic/score/mean"))
        info = "" if accuracy is None else f"accuracy of rollouts {accuracy:.0%}"
        progress.update(task, completed=step, description="Training through verl", info=info)
