"""A run killed with SIGKILL and started again repeats, bit for bit, what it would have done.

Equal in the steps behind the checkpoint: prompts and their names, responses, scores, reflections
and their sources, roles and advantages, vLLM's, the actor's and the reference's log-probabilities,
every metric that is not time, memory or speed, and the weights after the last step. With that,
optimizer, learning rate, order of the data and random states came back too. It holds for seeded
rollouts (`algorithm.care.seeded`) in fp32 on a CPU, on the same machine with the same number of
cores. Not shown: anything on a GPU, where nobody has run it.

The other moments to be killed at are in `test_resume_proofs` (`make proofs`).
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from .moments import Moment, Moments
from .resuming import SETTLED_S, Story, assert_same_steps
from .running import Run

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def reference(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, Run]:
    """The uninterrupted run."""
    story = Story(tmp_path_factory.mktemp("whole"), overrides)
    return story, story.finish()


def test_a_run_killed_while_it_saves_goes_on_from_the_last_whole_checkpoint(
    overrides: list[str], reference: tuple[Story, Run], tmp_path: Path
) -> None:
    """Killed in step 3 with one file written and one half written: 3 and 4 are run again."""
    story = Story(tmp_path, overrides)
    at = Moments(tmp_path / "marks", Moment("saving", "hold", step=3))
    with story.run(at.environment()) as run:
        at.wait_for(run, "saving")
        run.process.send_signal(signal.SIGKILL)
        run.finish(SETTLED_S)
        assert run.leftovers(SETTLED_S) == []
    half = story.checkpoints / "global_step_3"
    assert list(half.rglob("*.pt"))

    resumed = story.finish()

    assert f"Resuming from {story.checkpoints / 'global_step_2'}," in resumed.log
    assert "global_step_3: its save was not finished" in resumed.log
    assert_same_steps(story, resumed, *reference, first=3)
    assert sorted(path.parent.name for path in story.checkpoints.rglob("complete.json")) == [
        "global_step_3",
        "global_step_4",
    ]
