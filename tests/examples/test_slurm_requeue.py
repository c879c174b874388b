"""Signals: training is interrupted, Ray stops, and the job is requeued where that leads on.

Slurm, Ray and training are stand-ins (`stubs`): what `scontrol requeue` does to a real job that
still runs, no test here shows.
"""

from __future__ import annotations

import signal

from .conftest import Slurm


def signalled(slurm: Slurm, number: signal.Signals, training: str) -> tuple[int, str]:
    """Status and words of a job to which the signal came in the middle of training."""
    job = slurm.submit("train.sbatch", STUB_TRAINING=training)
    slurm.wait_for("waiting")
    slurm.signal_batch_script(number)
    _, said = job.communicate(timeout=120)
    return job.returncode, said


def test_before_the_time_limit_the_job_is_requeued_once_and_goes_on(slurm: Slurm) -> None:
    status, said = signalled(slurm, signal.SIGUSR1, "wait")
    assert status == 0, said
    happened = [event[:2] for event in slurm.named("train", "interrupted", "ray stop", "requeue")]
    assert happened[0] == ["train", "node0"]
    assert happened[1] == ["interrupted", "node0"]
    assert sorted(happened[2:4]) == [["ray stop", "node0"], ["ray stop", "node1"]]
    assert happened[4] == ["requeue", "4711"]
    # Started again under the same number, in the same folder.
    assert happened[5] == ["train", "node0"]
    assert "requeue" not in [name for name, _ in happened[6:]]
    first, second = (set(event[2:]) for event in slurm.named("train"))
    (checkpoints,) = [argument for argument in first if "default_local_dir" in argument]
    assert checkpoints in second
    assert (slurm.folder / "runs/care-4711/logs/4711-1/train.log").exists()
    assert "goes on from step 20" in said


def test_a_stretch_without_a_checkpoint_is_not_requeued(slurm: Slurm) -> None:
    status, said = signalled(slurm, signal.SIGUSR1, "wait-unsaved")
    assert status == 1
    assert slurm.named("requeue") == []
    assert "not requeued: no checkpoint was completed" in said
    assert len(slurm.named("ray stop")) == 2


def test_sigterm_stops_everything_and_leaves_requeueing_to_slurm(slurm: Slurm) -> None:
    status, said = signalled(slurm, signal.SIGTERM, "wait")
    assert status == 1, said
    assert slurm.named("requeue") == []
    assert len(slurm.named("interrupted")) == 1
    assert len(slurm.named("ray stop")) == 2


def test_the_cold_start_is_interrupted_and_requeued(slurm: Slurm) -> None:
    job = slurm.submit("sft.sbatch", "--nodes=2", STUB_TRAINING="wait")
    slurm.wait_for("waiting", count=2)
    slurm.signal_batch_script(signal.SIGUSR1)
    _, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    # The first that ends has Slurm end the other (--kill-on-bad-exit).
    assert slurm.named("interrupted")
    assert len(slurm.named("requeue")) == 1
    assert len(slurm.named("train")) == 4
