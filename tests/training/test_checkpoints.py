"""Which checkpoint a run goes on from, and what a save leaves, on folders made by hand.

verl's own saving and loading is scripted; a real run is killed and resumed in `tests/e2e`.
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import verl.trainer.ppo.v1  # noqa: F401  # CARE's trainer is imported at its end
from omegaconf import OmegaConf
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from care_verl.training.care.trainer import CareTrainer
from care_verl.training.checkpointing import manifest
from care_verl.training.checkpointing.checkpoints import TRACKER, CheckpointError, Checkpoints
from care_verl.training.checkpointing.saving import resuming_whole, whole_save

FILES = {"actor/model_world_size_1_rank_0.pt": b"weights", "actor/optim.pt": b"", "data.pt": b"17"}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def config_of(checkpoints: Checkpoints, **trainer: Any) -> Any:
    values = {"default_local_dir": str(checkpoints.root), "resume_mode": "auto"}
    values |= {"resume_from_path": None, "max_actor_ckpt_to_keep": None, **trainer}
    return OmegaConf.create({"trainer": values})


def fill(folder: Path, files: Sequence[str] = tuple(FILES)) -> None:
    """What verl writes."""
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[name])


def track(checkpoints: Checkpoints, text: str) -> None:
    """As verl does, in place."""
    checkpoints.root.mkdir(exist_ok=True)
    (checkpoints.root / TRACKER).write_text(text)


def save(checkpoints: Checkpoints, step: int) -> None:
    """A save from begin to end, verl's tracker included."""
    checkpoints.begin(step)
    fill(checkpoints.folder(step))
    track(checkpoints, str(step))
    checkpoints.complete(step)


def tracked(checkpoints: Checkpoints) -> str:
    return (checkpoints.root / TRACKER).read_text()


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


def break_off(checkpoints: Checkpoints) -> str:
    checkpoints.begin(3)
    fill(checkpoints.folder(3), list(FILES)[:1])
    return "global_step_3: its save was not finished"


def break_off_behind_verls_tracker(checkpoints: Checkpoints) -> str:
    checkpoints.begin(3)
    fill(checkpoints.folder(3))
    track(checkpoints, "3")
    return "global_step_3: its save was not finished"


def lose_a_file(checkpoints: Checkpoints) -> str:
    save(checkpoints, 3)
    (checkpoints.folder(3) / "data.pt").unlink()
    return "global_step_3: data.pt is missing"


def cut_a_file(checkpoints: Checkpoints) -> str:
    save(checkpoints, 3)
    (checkpoints.folder(3) / "actor/model_world_size_1_rank_0.pt").write_bytes(b"wei")
    return "global_step_3: actor/model_world_size_1_rank_0.pt has 3 of 7 bytes"


def remove_it(checkpoints: Checkpoints) -> str:
    save(checkpoints, 3)
    shutil.rmtree(checkpoints.folder(3))
    return "global_step_3: there is no such folder"


def write_without_care(checkpoints: Checkpoints) -> str:
    fill(checkpoints.folder(3))
    return "global_step_3: it has no complete.json, and the tracker does not name it"


def break_verls_own_off(checkpoints: Checkpoints) -> str:
    fill(checkpoints.folder(3), list(FILES)[:2])
    track(checkpoints, "3")
    return "global_step_3: it has neither complete.json nor data.pt"


Damage = Callable[[Checkpoints], str]
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
