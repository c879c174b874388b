"""What the tests of resumption share: a run of four steps, killed and started again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors.torch import load_file

from care_verl.training.care.capture_file import CapturedRow, read_capture

from .faults import SMALL
from .moments import Moment, Moments
from .running import Run

STEPS = 4
CAPTURED = 3
"""A step that every resumed run makes again; a capture is written when its step is over."""

SETTLED_S = 30.0
"""Within this time after a kill, nothing of the run is left."""

MEASURED = ("timing_", "actor/perf/", "perf/mfu/", "perf/time_per_step", "perf/throughput")
"""Beginnings of the names of metrics of time, memory and speed."""


@dataclass
class Story:
    """Runs with the same command line; each start has a folder of its own for log and metrics."""

    folder: Path
    overrides: list[str]
    extra: list[str] = field(default_factory=list)
    save_every: int = 1
    steps: int = STEPS
    starts: int = 0

    def run(self, environment: dict[str, str] | None = None) -> Run:
        """The next start."""
        self.starts += 1
        settings = [
            *[*self.overrides, *SMALL, *self.extra],
            f"trainer.total_training_steps={self.steps}",
            f"trainer.save_freq={self.save_every}",
            "trainer.max_actor_ckpt_to_keep=2",
            "trainer.resume_mode=auto",
            f"trainer.default_local_dir={self.checkpoints}",
            f"trainer.rollout_data_dir={self.folder / 'rollouts'}",
            *self.method(),
        ]
        return Run(self.folder / f"start{self.starts}", settings, environment or {})

    def method(self) -> list[str]:
        """What only the method has: CARE captures the rows of a step."""
        return [
            f"+algorithm.care.capture.step={CAPTURED}",
            f"+algorithm.care.capture.folder={self.folder / 'capture'}",
        ]

    def finish(self) -> Run:
        """The next start, to its end."""
        with self.run() as run:
            assert run.finish() == 0, run.tail()
            assert run.leftovers() == []
        return run

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def rollouts(self, step: int) -> list[dict[str, Any]]:
        """Every row of a step: prompt, response, gold answer, score and name."""
        lines = (self.folder / "rollouts" / f"{step}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def captured(self) -> list[CapturedRow]:
        """Every row of one step with roles, advantages and log-probabilities."""
        return read_capture(self.folder / "capture" / f"step_{CAPTURED}.safetensors").rows

    def weights(self) -> dict[str, torch.Tensor]:
        """The policy behind the last step."""
        exported = self.checkpoints / f"global_step_{STEPS}" / "actor" / "huggingface"
        return load_file(exported / "model.safetensors")

    def shard(self, model: str) -> dict[str, torch.Tensor]:
        """The only rank's weights of `actor` or `reference` behind the last step."""
        folder = self.checkpoints / f"global_step_{STEPS}" / model
        state = torch.load(folder / "model_world_size_1_rank_0.pt", weights_only=False)
        return {name: value.to_local() for name, value in state.items()}


def command(run: Run) -> psutil.Process:
    """The process that the user started."""
    return psutil.Process(run.process.pid)


def trainer(run: Run) -> psutil.Process:
    """The process in which the trainer runs."""
    (process,) = run.named("ray::TaskRunnerV1")
    return process


def killed_at(
    story: Story,
    moment: Moment,
    whom: Callable[[Run], psutil.Process] = command,
    meanwhile: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Kill a process of the next start when it has reached `moment`, at which the run is held.

    `meanwhile` is called while it runs.
    """
    at = Moments(story.folder / "marks", moment)
    with story.run(at.environment()) as run:
        meanwhile(run)
        at.wait_for(run, moment.at)
        kill(run, whom(run))
    return run


def kill(run: Run, process: psutil.Process) -> None:
    """SIGKILL for a process of the run, which ends the run and leaves nothing behind."""
    process.kill()
    killed = time.monotonic()
    assert run.finish(SETTLED_S) != 0
    assert run.leftovers(SETTLED_S) == []
    print(f"nothing left {time.monotonic() - killed:.1f} s after the kill")


def killed_in_the_last_save(
    story: Story, aside: Path, meanwhile: Callable[[Run], None] = lambda run: None
) -> Run:
    """Kill the next start when the last step's weights are written and the next file is half.

    What it left is copied to `aside`, since going on overwrites it.
    """
    run = killed_at(story, Moment("saving", "hold", step=STEPS), meanwhile=meanwhile)
    assert sorted(metrics_of(run)) == list(range(1, STEPS))
    shutil.copytree(story.folder, aside)
    return run


def metrics_of(run: Run) -> dict[int, dict[str, Any]]:
    """Metrics by step, but for those of time, memory and speed."""
    return {
        step: {name: value for name, value in data.items() if not name.startswith(MEASURED)}
        for step, data in run.metrics()
    }


def assert_same_steps(resumed: Story, run: Run, reference: Story, whole: Run, first: int) -> None:
    """The steps from `first` on are those of the uninterrupted run, bit for bit."""
    assert_same_training(resumed, run, reference, whole, first)
    assert_same_capture(reference, resumed)


def assert_same_capture(reference: Story, resumed: Story) -> None:
    """Every row of the captured step."""
    for expected, found in zip(reference.captured(), resumed.captured(), strict=True):
        assert_same_row(expected, found)


def assert_same_training(
    resumed: Story, run: Run, reference: Story, whole: Run, first: int
) -> None:
    """The same rollouts and metrics in each step, and the same weights behind the last."""
    assert sorted(metrics_of(run)) == list(range(first, STEPS + 1)), run.tail()
    for step in range(first, STEPS + 1):
        assert_same_step(step, resumed, run, reference, whole)
    assert_same_weights(reference.weights(), resumed.weights())


def assert_same_step(step: int, resumed: Story, run: Run, reference: Story, whole: Run) -> None:
    """The same rollouts and metrics."""
    assert reference.rollouts(step) == resumed.rollouts(step), f"rollouts of step {step}"
    there, here = metrics_of(whole)[step], metrics_of(run)[step]
    differing = {
        name: (there.get(name), here.get(name))
        for name in there.keys() | here.keys()
        if there.get(name) != here.get(name)
    }
    assert differing == {}, f"metrics of step {step}"


def assert_same_weights(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    assert expected.keys() == found.keys()
    for name, weight in found.items():
        assert torch.equal(weight, expected[name]), f"{name} after step {STEPS}"


def assert_same_row(expected: CapturedRow, found: CapturedRow) -> None:
    """Role, advantages, tokens, spans, log-probabilities of both engines and of the reference."""
    for name, value in vars(expected).items():
        other = getattr(found, name)
        if isinstance(value, torch.Tensor):
            same = isinstance(other, torch.Tensor) and torch.equal(value, other)
        elif name == "media":
            same = value.keys() == other.keys() and all(
                torch.equal(value[key], other[key]) for key in value
            )
        else:
            same = value == other
        assert same, f"{name} of {expected.uid}, session {expected.session}"
