"""Which checkpoint a run goes on from, on folders made by hand."""

from __future__ import annotations

import json
import logging

import pytest
import verl.trainer.ppo.v1  # noqa: F401  # CARE's trainer is imported at its end

from care_verl.training.checkpointing import manifest
from care_verl.training.checkpointing.checkpoints import CheckpointError, Checkpoints

from .checkpoint_folders import (
    FILES,
    Damage,
    break_off,
    cut_a_file,
    fill,
    lose_a_file,
    remove_it,
    save,
    track,
    tracked,
)


def test_a_save_ends_with_a_list_of_its_files(checkpoints: Checkpoints) -> None:
    checkpoints.begin(3)
    assert checkpoints.newest_whole() is None
    fill(checkpoints.folder(3))
    assert checkpoints.newest_whole() is None
    checkpoints.complete(3)
    record = json.loads((checkpoints.folder(3) / "complete.json").read_text())
    assert record["step"] == 3
    assert record["files"] == {name: len(content) for name, content in FILES.items()}
    assert sorted(path.name for path in checkpoints.folder(3).iterdir()) == [
        "actor",
        "complete.json",
        "data.pt",
    ]
    assert tracked(checkpoints) == "3"
    assert checkpoints.newest_whole() == checkpoints.folder(3)


def break_off_behind_verls_tracker(checkpoints: Checkpoints) -> str:
    checkpoints.begin(3)
    fill(checkpoints.folder(3))
    track(checkpoints, "3")
    return "global_step_3: its save was not finished"


def write_without_care(checkpoints: Checkpoints) -> str:
    fill(checkpoints.folder(3))
    return "global_step_3: it has no complete.json, and the tracker does not name it"


def break_verls_own_off(checkpoints: Checkpoints) -> str:
    fill(checkpoints.folder(3), list(FILES)[:2])
    track(checkpoints, "3")
    return "global_step_3: it has neither complete.json nor data.pt"


DAMAGES: list[Damage] = [
    break_off,
    break_off_behind_verls_tracker,
    lose_a_file,
    cut_a_file,
    remove_it,
    write_without_care,
    break_verls_own_off,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_whole_is_passed_over_and_said(
    checkpoints: Checkpoints, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    save(checkpoints, 1)
    save(checkpoints, 2)
    reason = damage(checkpoints)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.newest_whole() == checkpoints.folder(2)
    assert reason in caplog.text


@pytest.mark.parametrize(
    "damage", [lose_a_file, remove_it, write_without_care, break_verls_own_off]
)
def test_a_checkpoint_that_is_gone_is_no_start_from_scratch(
    checkpoints: Checkpoints, damage: Damage
) -> None:
    """`write_without_care` is also what a node has where only actors wrote."""
    reason = damage(checkpoints)
    with pytest.raises(CheckpointError, match="there is no whole checkpoint") as refusal:
        checkpoints.newest_whole()
    assert reason in str(refusal.value)
    assert "trainer.resume_mode=disable" in str(refusal.value)


@pytest.mark.parametrize("damage", [break_off, break_off_behind_verls_tracker])
def test_nothing_but_a_broken_save_is_a_first_start(
    checkpoints: Checkpoints, damage: Damage
) -> None:
    """A run killed in its first save has no step to go back to."""
    damage(checkpoints)
    assert checkpoints.newest_whole() is None


@pytest.mark.parametrize("tracker", ["", "2"])
def test_killed_between_manifest_and_tracker_the_checkpoint_counts(
    checkpoints: Checkpoints, tracker: str
) -> None:
    save(checkpoints, 2)
    save(checkpoints, 3)
    track(checkpoints, tracker)
    assert checkpoints.newest_whole() == checkpoints.folder(3)


def test_killed_between_manifest_and_mark_the_checkpoint_counts(checkpoints: Checkpoints) -> None:
    save(checkpoints, 3)
    (checkpoints.folder(3) / manifest.UNFINISHED).touch()
    assert checkpoints.newest_whole() == checkpoints.folder(3)
    assert checkpoints.folder(3) not in checkpoints.superseded(4, keep=1)


def test_verls_own_checkpoint_counts_if_the_tracker_names_it(checkpoints: Checkpoints) -> None:
    fill(checkpoints.folder(5))
    track(checkpoints, "5")
    assert checkpoints.newest_whole() == checkpoints.folder(5)


def test_an_export_may_be_rewritten(checkpoints: Checkpoints) -> None:
    """By verl's merger, say, which writes into the checkpoint's folder."""
    checkpoints.begin(2)
    fill(checkpoints.folder(2))
    export = checkpoints.folder(2) / "actor" / "huggingface"
    export.mkdir()
    (export / "config.json").write_text("float32")
    checkpoints.complete(2)
    (export / "config.json").write_text("bfloat16")
    assert checkpoints.newest_whole() == checkpoints.folder(2)


def test_a_tracker_that_was_set_back_is_spoken_of(
    checkpoints: Checkpoints, caplog: pytest.LogCaptureFixture
) -> None:
    save(checkpoints, 2)
    save(checkpoints, 3)
    track(checkpoints, "2")
    assert checkpoints.newest_whole() == checkpoints.folder(3)
    assert "names step 2, but step 3 was completed later" in caplog.text


def test_a_later_run_from_an_earlier_step_is_the_newer_one(checkpoints: Checkpoints) -> None:
    """Two runs in one folder: steps say nothing about which came last."""
    save(checkpoints, 40)
    save(checkpoints, 3)
    assert checkpoints.newest_whole() == checkpoints.folder(3)


def test_saving_again_over_a_whole_checkpoint_can_be_broken_off(checkpoints: Checkpoints) -> None:
    save(checkpoints, 2)
    save(checkpoints, 3)
    checkpoints.begin(3)
    assert checkpoints.newest_whole() == checkpoints.folder(2)
