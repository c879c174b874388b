"""Folders of checkpoints made by hand: as verl writes them, and damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import verl.trainer.ppo.v1  # noqa: F401  # CARE's trainer is imported at its end
from omegaconf import OmegaConf

from care_verl.training.checkpointing.checkpoints import TRACKER, Checkpoints

Damage = Callable[[Checkpoints], str]
"""Damages the checkpoint of step 3; returns what a message must say of it."""
FILES = {"actor/model_world_size_1_rank_0.pt": b"weights", "actor/optim.pt": b"", "data.pt": b"17"}


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


def break_off(checkpoints: Checkpoints) -> str:
    checkpoints.begin(3)
    fill(checkpoints.folder(3), list(FILES)[:1])
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
