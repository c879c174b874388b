"""What the tools read of a run that kept its last steps only (`records.keep`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from care_verl.records.files import RunRecord
from care_verl.records.schema import RecordError
from care_verl.records.writing import drop_old_steps
from care_verl.tools.atlas.wanted_groups import Wanted, choose
from care_verl.tools.replay.readers import care
from care_verl.tools.replay.rollouts import Reading
from care_verl.tools.report.runs import load_run
from care_verl.tools.report.series import decoded_tokens

from .samples import write_sample_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five steps of 48 rollouts, of which 4 and 5 are kept."""
    folder = tmp_path_factory.mktemp("run")
    drop_old_steps(write_sample_run(folder / "records", steps=5), newest=5, keep=2)
    return folder


def test_the_report_knows_which_steps_it_guesses(run: Path) -> None:
    found = load_run(run)
    assert list(found.metrics) == [4, 5]
    assert found.notes == ()
    assert found.groups is not None
    assert set(found.groups.step) == {4, 5}
    tokens = decoded_tokens(found)
    assert tokens.filled == 3
    assert tokens.series.steps.tolist() == [1, 2, 3, 4, 5]


def test_the_atlas_searches_the_steps_that_are_there(run: Path) -> None:
    chosen = choose(RunRecord.find(run), Wanted(repaired=True))
    assert chosen.steps == [4, 5]
    assert {group.step for group in chosen.groups} <= {4, 5}


def test_the_rollouts_that_are_there_are_replayed(run: Path) -> None:
    dump = care.read(run, Reading())
    assert dump.malformed == []
    assert {rollout.group[:7] for rollout in dump.rollouts} == {"s000004", "s000005"}


def test_a_step_that_was_dropped_is_told(run: Path) -> None:
    with pytest.raises(RecordError, match="step 2 is not in .* holds 2 steps from 4 to 5"):
        RunRecord.find(run).step(2)
