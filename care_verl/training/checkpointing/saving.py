"""verl's saving and loading of checkpoints, made whole or absent (`checkpoints`)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from omegaconf import DictConfig, open_dict

from care_verl.common.logs import logger_of
from care_verl.platform.places import FSDP_CHECKPOINTS, TRAINER
from care_verl.platform.seam import Seam
from care_verl.training.checkpointing.checkpoints import CheckpointError, Checkpoints
from care_verl.training.checkpointing.manifest import MANIFEST, problem
from care_verl.training.run.disk import existing_part
from care_verl.training.run.liveness import RunActorDiedError

logger = logger_of(__name__)

Remove = Callable[[Sequence[Path]], None]


RELIES_ON = (
    Seam(
        f"{TRAINER}._save_checkpoint",
        "a save ends with the tracker",
        'self.config.trainer.default_local_dir, f"global_step_{self.global_steps}"',
        'self.config.trainer.get("remove_previous_ckpt_in_save", False)',
        'self.config.trainer.get("max_actor_ckpt_to_keep", None)',
        "max_ckpt_to_keep=max_actor_ckpt_to_keep",
        'os.path.join(local_global_step_folder, "data.pt")',
        "torch.save(self.train_dataloader.state_dict(), dataloader_local_path)",
        '"latest_checkpointed_iteration.txt"',
    ),
    Seam(
        f"{TRAINER}._save_checkpoint",
        "the callback is told after the tracker",
        '"latest_checkpointed_iteration.txt"',
        "self.checkpoint_callback.on_save(",
        only_with="verl.trainer.ppo.checkpoint_callback",
    ),
    Seam(
        f"{TRAINER}._load_checkpoint",
        "a load takes the folder that it is told",
        'self.config.trainer.resume_mode == "disable"',
        'self.config.trainer.resume_mode == "resume_path"',
        "global_step_folder = self.config.trainer.resume_from_path",
        'int(global_step_folder.split("global_step_")[-1])',
        "self.actor_rollout_wg.load_checkpoint(",
        "self.train_dataloader.load_state_dict(dataloader_state_dict)",
    ),
    Seam(
        "verl.utils.checkpoint.checkpoint_manager:BaseCheckpointManager.register_checkpoint",
        "without a limit no checkpoint is removed",
        "if not (max_ckpt_to_keep and isinstance(max_ckpt_to_keep, int)",
        "return",
    ),
    Seam(
        f"{FSDP_CHECKPOINTS}.save_checkpoint",
        "weights, optimizer, learning rate and random states are saved",
        "self.ensure_checkpoint_capacity(max_ckpt_to_keep)",
        "torch.save(model_state_dict, model_path)",
        "torch.save(optimizer_state_dict, optim_path)",
        '"lr_scheduler": lr_scheduler_state_dict',
        '"rng": self.get_rng_state()',
        "self.register_checkpoint(local_path, max_ckpt_to_keep)",
    ),
)


class DeferredCallback:
    """In the place of the user's checkpoint callback until the checkpoint is whole."""

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []

    def on_save(self, **arguments: Any) -> None:
        """Keep the call."""
        self._calls.append(arguments)

    def replay(self, callback: Any) -> None:
        """Make the calls."""
        for arguments in self._calls:
            callback.on_save(**arguments)


@contextmanager
def whole_save(config: DictConfig, step: int, remove: Remove) -> Iterator[None]:
    """Around verl's `_save_checkpoint`, which writes without removing any older checkpoint.

    `remove` gets the folders that may go by `trainer.max_actor_ckpt_to_keep`: before the save those
    that verl would remove then, to make room, but never the newest whole one.

    Raises:
        CheckpointError: something could not be written. What was is removed.
        RunActorDiedError, RayActorError: a process died meanwhile.
    """
    checkpoints, keep = Checkpoints.of(config), _kept(config)
    if keep is not None:
        remove(checkpoints.superseded(step, max(keep - 1, 1)))
    try:
        checkpoints.begin(step)
        rotation = {"max_actor_ckpt_to_keep": None, "remove_previous_ckpt_in_save": False}
        with _changed(config, **rotation):
            yield
        checkpoints.complete(step)
    except (RunActorDiedError, ray.exceptions.RayActorError):
        # No trouble of the disk; the mark of an unfinished save tells what the folder is worth.
        raise
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        message = _failure(checkpoints, step, error)
        remove([checkpoints.folder(step)])
        checkpoints.discard(step)
        raise CheckpointError(message) from error
    if keep is not None:
        remove(checkpoints.superseded(step, keep - 1))


@contextmanager
def resuming_whole(config: DictConfig) -> Iterator[None]:
    """Around verl's `_load_checkpoint`: it loads a whole checkpoint or, at a first start, none.

    Raises:
        CheckpointError: the checkpoint that was asked for is not whole, or none is left.
    """
    mode, named = config.trainer.resume_mode, config.trainer.resume_from_path
    if mode == "auto":
        newest = Checkpoints.of(config).newest_whole()
        if newest is None:
            logger.info("no checkpoint in %s: training from scratch", Checkpoints.of(config).root)
            with _changed(config, resume_mode="disable"):
                yield
        else:
            with _changed(config, resume_mode="resume_path", resume_from_path=str(newest)):
                yield
        return
    if mode == "resume_path" and isinstance(named, str):
        _require_whole(Path(named).absolute())
    yield


def _require_whole(folder: Path) -> None:
    reason = problem(folder, named=True)
    if reason is not None:
        raise CheckpointError(
            f"trainer.resume_from_path = {str(folder)!r} is not a whole checkpoint: {reason}. Name "
            f"one that has {MANIFEST}, or use trainer.resume_mode=auto, which finds the newest"
        )


def _kept(config: DictConfig) -> int | None:
    """How many checkpoints are to stay; None for all."""
    if config.trainer.get("remove_previous_ckpt_in_save", False):
        return 1
    keep = config.trainer.get("max_actor_ckpt_to_keep", None)
    return int(keep) if keep is not None and keep > 0 else None


def _failure(checkpoints: Checkpoints, step: int, error: Exception) -> str:
    inner = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    cause = " ".join(f"{type(inner).__name__}: {inner}".split())
    place = existing_part(checkpoints.root)
    return (
        f"the checkpoint {checkpoints.folder(step)} could not be written; {place} has "
        f"{shutil.disk_usage(place).free / 2**20:.0f} MiB free. What was written of it is removed; "
        f"{checkpoints.describe_newest(but=step)}. Make room, or mend what the error names, and "
        f"start the run again to go on from there. The error: {cause}"
    )


@contextmanager
def _changed(config: DictConfig, **values: Any) -> Iterator[None]:
    """Other values of `trainer` for a while."""
    before = {name: config.trainer.get(name, None) for name in values}
    with open_dict(config):
        config.trainer.update(values)
    try:
        yield
    finally:
        with open_dict(config):
            config.trainer.update(before)
