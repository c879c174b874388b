"""The other moments at which a run may be killed, and two data-parallel ranks.

What is compared, and what that does not show, is said in `test_care_run`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from care_verl.training.checkpointing.checkpoints import TRACKER

from .moments import Moment
from .resuming import Story, assert_same_steps, command, kill, killed_at, trainer
from .running import Run

pytestmark = [pytest.mark.e2e, pytest.mark.proof]

IN_STEP_3 = [
    Moment("rollout", "hold", step=3, count=20),
    # Two mini-batches a step: this is the second one of the third.
    Moment("update", "hold", count=6),
    Moment("saving", "hold", step=3),
]


@pytest.fixture(scope="module")
def reference(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, Run]:
    """The uninterrupted run."""
    story = Story(tmp_path_factory.mktemp("whole"), overrides)
    return story, story.finish()


@pytest.mark.parametrize("whom", [command, trainer], ids=lambda whom: whom.__name__)
@pytest.mark.parametrize("moment", IN_STEP_3, ids=lambda moment: moment.at)
def test_killed_in_step_3_a_run_goes_on_from_step_2(
    overrides: list[str],
    reference: tuple[Story, Run],
    tmp_path: Path,
    moment: Moment,
    whom: Callable[[Run], psutil.Process],
) -> None:
    story = Story(tmp_path, overrides)
    killed_at(story, moment, whom)
    resumed = story.finish()
    assert f"Resuming from {story.checkpoints / 'global_step_2'}," in resumed.log
    assert_same_steps(story, resumed, *reference, first=3)


def test_killed_between_manifest_and_tracker_a_run_goes_on_from_the_new_checkpoint(
    overrides: list[str], reference: tuple[Story, Run], tmp_path: Path
) -> None:
    """The tracker is written to a named pipe, which nobody reads, until the run is killed."""
    story = Story(tmp_path, overrides)
    pipe = story.checkpoints / f"{TRACKER}.partial"
    with story.run() as run:
        run.wait_for_step(2)
        os.mkfifo(pipe)
        wait_for(story.checkpoints / "global_step_3" / "complete.json", run)
        kill(run, command(run))
    pipe.unlink()
    # verl has named step 3 by itself, without the manifest's knowledge.
    (story.checkpoints / TRACKER).write_text("2")
    resumed = story.finish()
    assert f"Resuming from {story.checkpoints / 'global_step_3'}," in resumed.log
    assert_same_steps(story, resumed, *reference, first=4)


def wait_for(path: Path, run: Run) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert run.process.poll() is None, run.tail()
        assert time.monotonic() < end, f"{path} did not come:\n{run.tail()}"
        time.sleep(0.05)


def test_two_ranks_go_on_as_one_run(overrides: list[str], tmp_path: Path) -> None:
    """Two data-parallel ranks and two rollout servers, killed with a file half written."""
    ranks = ["trainer.n_gpus_per_node=2", "ray_kwargs.ray_init.num_gpus=2"]
    whole = Story(tmp_path / "whole", overrides, ranks)
    uninterrupted = whole.finish()
    story = Story(tmp_path / "killed", overrides, ranks)
    killed_at(story, Moment("saving", "hold", step=3))
    resumed = story.finish()
    assert f"Resuming from {story.checkpoints / 'global_step_2'}," in resumed.log
    assert_same_steps(story, resumed, whole, uninterrupted, first=3)
