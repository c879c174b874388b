"""The training workers of any run of ours: what verl's do not do by themselves."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import ray
from tensordict import TensorDict
from verl.single_controller.base.decorator import Dispatch, register
from verl.workers.engine_workers import ActorRolloutRefWorker, TrainingWorker

from care_verl.platform import when_imported
from care_verl.platform.actor_classes import plain_class
from care_verl.training.run import text_only
from care_verl.training.run.activation import require_active
from care_verl.training.run.position_ids import join_along_tokens


class RunTrainingWorker(TrainingWorker):  # type: ignore[misc]
    """verl's training worker, given position ids that can be cut into rows."""

    def train_mini_batch(self, data: TensorDict) -> TensorDict:
        """All optimizer steps of one update."""
        join_along_tokens(data)
        return super().train_mini_batch(data)

    def infer_batch(self, data: TensorDict) -> TensorDict:
        """Log-probabilities of this rank's rows."""
        join_along_tokens(data)
        return super().infer_batch(data)


class RunActorRolloutRefWorker(ActorRolloutRefWorker):  # type: ignore[misc]
    """verl's hybrid worker around `RunTrainingWorker`."""

    actor_worker_cls = RunTrainingWorker
    ref_worker_cls = RunTrainingWorker

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        require_active("an FSDP actor")
        when_imported(text_only.MODULE, text_only.run_without_images)
        super().__init__(*args, **kwargs)

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def remove_folders(self, folders: list[str]) -> None:
        """Remove checkpoints from this node's disk; another rank may be at it too."""
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def our_workers(
    role_workers: Mapping[Any, Any], ours: type[RunActorRolloutRefWorker]
) -> dict[Any, Any]:
    """Ray actor classes by role -> ours, for the roles that verl's hybrid worker has."""
    actor_class_of_ours = ray.remote(ours)
    return {
        role: actor_class_of_ours
        for role, actor_class in role_workers.items()
        if plain_class(actor_class) is ActorRolloutRefWorker
    }
