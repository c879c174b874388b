"""A run killed with SIGKILL and started again repeats, bit for bit, what it did before the kill.

It saves every second step, so two of the steps that it did are run again. Equal in them: prompts
and their names, responses, scores, reflections and their sources, roles and advantages, vLLM's, the
actor's and the reference's log-probabilities, every metric that is not time, memory or speed, and
the weights after the last step. With that, optimizer, learning rate, order of the data and random
states came back too. It holds for seeded rollouts (`algorithm.care.seeded`) in fp32 on a CPU, on
the same machine with the same number of cores. Not shown: anything on a GPU, where nobody has run
it.

The other moments to be killed at, and runs that were never stopped to compare with, are in
`test_resume_proofs` (`make proofs`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .resuming import (
    STEPS,
    Story,
    assert_same_capture,
    assert_same_step,
    assert_same_weights,
    killed_in_the_last_save,
    metrics_of,
)

pytestmark = pytest.mark.e2e


def test_a_run_killed_while_it_saves_repeats_its_steps_from_the_last_whole_checkpoint(
    overrides: list[str], tmp_path: Path
) -> None:
    """Killed with the weights of step 4 written and the next file half: 3 and 4 are run again."""
    story = Story(tmp_path / "run", overrides, save_every=2)
    before = Story(tmp_path / "before", overrides)
    killed = killed_in_the_last_save(story, before.folder)

    resumed = story.finish()

    assert f"Resuming from {story.checkpoints / 'global_step_2'}," in resumed.log
    assert f"global_step_{STEPS}: its save was not finished" in resumed.log
    assert sorted(metrics_of(resumed)) == [3, STEPS]
    # The killed run got to write the metrics of step 3 only.
    assert_same_step(3, story, resumed, before, killed)
    assert before.rollouts(STEPS) == story.rollouts(STEPS)
    assert_same_capture(before, story)
    assert_same_weights(before.shard("actor"), story.shard("actor"))
    assert sorted(path.parent.name for path in story.checkpoints.rglob("complete.json")) == [
        "global_step_2",
        "global_step_4",
    ]
