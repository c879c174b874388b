"""What a save leaves and what it removes, and how the trainer calls it.

verl's own saving and loading is scripted; a real run is killed and resumed in `tests/e2e`.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import verl.trainer.ppo.v1  # noqa: F401  # CARE's trainer is imported at its end
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from care_verl.training.care.trainer import CareTrainer
from care_verl.training.checkpointing.checkpoints import CheckpointError, Checkpoints
from care_verl.training.checkpointing.saving import resuming_whole, whole_save

from .checkpoint_folders import (
    FILES,
    Damage,
    break_off,
    config_of,
    cut_a_file,
    fill,
    lose_a_file,
    remove_it,
    save,
    track,
)


def steps_left(checkpoints: Checkpoints) -> list[int]:
    return sorted(int(path.name.rpartition("_")[2]) for path in checkpoints.root.glob("global_*"))


def run_step(config: Any, checkpoints: Checkpoints, step: int, present: list[list[int]]) -> None:
    def remove(folders: Sequence[Path]) -> None:
        for folder in folders:
            shutil.rmtree(folder)

    with whole_save(config, step, remove):
        assert config.trainer.max_actor_ckpt_to_keep is None
        present.append(steps_left(checkpoints))
        fill(checkpoints.folder(step))
        track(checkpoints, str(step))


@pytest.mark.parametrize(
    ("keep", "while_saving", "after"), [(1, [3, 4], [4]), (2, [3, 4], [3, 4]), (3, [2, 3, 4], None)]
)
def test_older_checkpoints_make_room_but_never_the_newest_whole_one(
    checkpoints: Checkpoints, keep: int, while_saving: list[int], after: list[int] | None
) -> None:
    """As many lie on the disk while the fourth is saved as with verl, which counts the new one."""
    config = config_of(checkpoints, max_actor_ckpt_to_keep=keep)
    present: list[list[int]] = []
    for step in (1, 2, 3, 4):
        run_step(config, checkpoints, step, present)
    assert present[-1] == while_saving
    assert steps_left(checkpoints) == (after or while_saving)
    assert config.trainer.max_actor_ckpt_to_keep == keep


def test_rotation_takes_broken_saves_and_leaves_what_is_not_its_own(
    checkpoints: Checkpoints,
) -> None:
    fill(checkpoints.folder(1))
    save(checkpoints, 2)
    checkpoints.begin(3)
    save(checkpoints, 7)
    run_step(config_of(checkpoints, max_actor_ckpt_to_keep=1), checkpoints, 4, [])
    assert steps_left(checkpoints) == [1, 4, 7]


def test_without_a_limit_all_stay(checkpoints: Checkpoints) -> None:
    for step in (1, 2, 3):
        run_step(config_of(checkpoints), checkpoints, step, [])
    assert steps_left(checkpoints) == [1, 2, 3]


ERRORS = [
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("[enforce fail at inline_container.cc:874] . unexpected pos 64 vs 0"),
    ray.exceptions.RayTaskError("save_checkpoint", "traceback", RuntimeError("unexpected pos 64")),
]


def fail_to_save(checkpoints: Checkpoints, error: Exception) -> None:
    with whole_save(config_of(checkpoints, max_actor_ckpt_to_keep=1), 3, lambda folders: None):
        fill(checkpoints.folder(3), list(FILES)[:1])
        raise error


@pytest.mark.parametrize("error", ERRORS, ids=["driver", "torch", "worker"])
def test_a_failed_save_is_explained_and_removed(checkpoints: Checkpoints, error: Exception) -> None:
    save(checkpoints, 2)
    with pytest.raises(CheckpointError) as failure:
        fail_to_save(checkpoints, error)
    message = str(failure.value)
    assert f"the checkpoint {checkpoints.folder(3)} could not be written" in message
    assert "MiB free" in message
    assert f"the newest whole one is {checkpoints.folder(2)}" in message
    assert "No space left" in message or "unexpected pos 64" in message
    assert steps_left(checkpoints) == [2]
    assert checkpoints.newest_whole() == checkpoints.folder(2)


@pytest.mark.parametrize("before", [[], [2]])
def test_the_tracker_does_not_name_a_discarded_checkpoint(
    checkpoints: Checkpoints, before: list[int]
) -> None:
    for step in before:
        save(checkpoints, step)
    checkpoints.begin(3)
    fill(checkpoints.folder(3))
    track(checkpoints, "3")
    checkpoints.discard(3)
    assert checkpoints.newest_whole() == (checkpoints.folder(2) if before else None)


def test_auto_names_the_whole_checkpoint_to_verl(checkpoints: Checkpoints) -> None:
    config = config_of(checkpoints)
    with resuming_whole(config):
        assert config.trainer.resume_mode == "disable"
    save(checkpoints, 2)
    break_off(checkpoints)
    with resuming_whole(config):
        assert config.trainer.resume_mode == "resume_path"
        assert config.trainer.resume_from_path == str(checkpoints.folder(2))
    assert config.trainer.resume_mode == "auto"
    assert config.trainer.resume_from_path is None


@pytest.mark.parametrize("damage", [break_off, lose_a_file, cut_a_file, remove_it])
def test_a_named_checkpoint_that_is_not_whole_is_refused(
    checkpoints: Checkpoints, damage: Damage
) -> None:
    reason = damage(checkpoints).partition(": ")[2]
    config = config_of(
        checkpoints, resume_mode="resume_path", resume_from_path=str(checkpoints.folder(3))
    )
    with pytest.raises(CheckpointError, match="is not a whole checkpoint") as refusal:
        resuming_whole(config).__enter__()
    assert reason in str(refusal.value)


def test_a_named_checkpoint_may_be_verls_own(checkpoints: Checkpoints) -> None:
    fill(checkpoints.folder(3))
    named = str(checkpoints.folder(3))
    config = config_of(checkpoints, resume_mode="resume_path", resume_from_path=named)
    with resuming_whole(config):
        assert config.trainer.resume_from_path == named


class Recorder:
    """A user's checkpoint callback."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bool]] = []

    def on_save(self, global_step: int, checkpoint_dir: str, **others: Any) -> None:
        self.seen.append((global_step, (Path(checkpoint_dir) / "complete.json").exists()))


def test_the_trainer_saves_and_loads_around_verl(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's callback is called when the checkpoint is whole."""
    loaded: list[str] = []

    def verls_save(trainer: Any) -> None:
        folder = checkpoints.folder(trainer.global_steps)
        fill(folder)
        trainer.checkpoint_callback.on_save(
            trainer=trainer, global_step=trainer.global_steps, checkpoint_dir=str(folder)
        )

    monkeypatch.setattr(PPOTrainer, "_save_checkpoint", verls_save)
    monkeypatch.setattr(
        PPOTrainer,
        "_load_checkpoint",
        lambda trainer: loaded.append(trainer.config.trainer.resume_from_path),
    )
    removed: list[list[str]] = []
    callback = Recorder()
    trainer: Any = object.__new__(CareTrainer)
    trainer.config = config_of(checkpoints, max_actor_ckpt_to_keep=1)
    trainer.checkpoint_callback = callback
    trainer.actor_rollout_wg = SimpleNamespace(remove_folders=removed.append)
    for trainer.global_steps in (1, 2):
        trainer._save_checkpoint()
    trainer._load_checkpoint()
    assert callback.seen == [(1, True), (2, True)]
    assert trainer.checkpoint_callback is callback
    assert removed == [[str(checkpoints.folder(1))]]
    assert steps_left(checkpoints) == [2]
    assert loaded == [str(checkpoints.folder(2))]


def test_a_verl_without_checkpoint_callbacks(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its main branch of August 2026: its trainer has no such attribute and tells nobody."""
    monkeypatch.setattr(PPOTrainer, "_save_checkpoint", lambda trainer: fill(checkpoints.folder(3)))
    trainer: Any = object.__new__(CareTrainer)
    trainer.config, trainer.global_steps = config_of(checkpoints), 3
    trainer._save_checkpoint()
    assert checkpoints.newest_whole() == checkpoints.folder(3)
