"""Running verl's own entry point on the embedded recipe, with a progress bar."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress, TaskID

from care_verl.demo.run_log import RunLog

LOG_NAME = "train.log"
METRICS_NAME = "metrics.jsonl"
GRACE_SECONDS = 30.0


class TrainingFailed(RuntimeError):
    """The verl run ended with an error; the message holds the end of its log."""


def train(run_dir: Path, overrides: Sequence[str], steps: int, progress: Progress) -> RunLog:
    """Run `python -m verl.trainer.main_ppo` with `overrides`; return its metrics.

    Output goes to `run_dir/train.log`, metrics to `run_dir/metrics.jsonl` and TensorBoard.
    Interrupted, it passes the interrupt on and waits until the run has ended.

    Raises TrainingFailed when the run exits with an error.
    """
    log = RunLog(run_dir / METRICS_NAME)
    environment = {
        **os.environ,
        "VERL_FILE_LOGGER_PATH": str(log.path),
        "TENSORBOARD_DIR": str(run_dir / "tensorboard"),
        "HYDRA_FULL_ERROR": "1",
    }
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *overrides]
    task = progress.add_task("Starting Ray, vLLM and FSDP", total=steps, info="")
    with (run_dir / LOG_NAME).open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=run_dir,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _follow(process, log, progress, task)
        except BaseException:
            _interrupt(process)
            raise
    if process.returncode != 0:
        raise TrainingFailed(_failure(command, process.returncode, run_dir / LOG_NAME))
    return log


def _follow(
    process: subprocess.Popen[bytes], log: RunLog, progress: Progress, task: TaskID
) -> None:
    running = True
    while running:
        running = process.poll() is None
        for step, data in log.new_steps():
            accuracy = data.get("care/acc/mean", data.get("critic/score/mean"))
            info = "" if accuracy is None else f"accuracy of rollouts {accuracy:.0%}"
            progress.update(task, completed=step, description="Training with CARE", info=info)
        if running:
            time.sleep(0.5)


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """End the run as Ctrl-C would, and for good when it does not listen."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _failure(command: Sequence[str], status: int, log_path: Path) -> str:
    tail = log_path.read_text(errors="replace").splitlines()[-40:]
    return "\n".join(
        [f"verl's run ended with status {status}. The end of {log_path}:", *tail]
        + ["The command was:", " ".join(command)]
    )
