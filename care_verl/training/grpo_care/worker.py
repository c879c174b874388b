"""The FSDP workers of a GRPO-CARE run: policy and reference in one process, the one after the
other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from verl.single_controller.base.decorator import Dispatch, register

from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.platform.places import ACTOR, TRAINER
from care_verl.platform.seam import Seam
from care_verl.training.grpo_care.moving_reference import MovingReference, counting
from care_verl.training.run.worker import RunActorRolloutRefWorker

FOLDER = "reference"
"""In the folder of a step's checkpoint, beside verl's `actor`."""


RELIES_ON = (
    Seam(
        f"{ACTOR}.init_model",
        "the reference is built in the actor's process",
        'if "ref" in self.role:',
        "self.ref = self.ref_worker_cls(config=ref_training_config)",
        'if "actor" in self.role:',
        "self.actor = self.actor_worker_cls(config=actor_training_config)",
    ),
    Seam(
        f"{ACTOR}.save_checkpoint",
        "a checkpoint is the policy's",
        "self.actor.save_checkpoint(local_path, hdfs_path, global_step, max_ckpt_to_keep)",
    ),
    Seam(
        f"{ACTOR}.load_checkpoint",
        "a checkpoint comes back into the policy",
        "self.actor.load_checkpoint(local_path, hdfs_path, del_local_after_load)",
    ),
    Seam(
        f"{TRAINER}._save_checkpoint",
        "the policy is saved in `actor` in the step's folder",
        'os.path.join(local_global_step_folder, "actor")',
        "self.actor_rollout_wg.save_checkpoin",
    ),
    Seam(
        f"{TRAINER}._load_checkpoint",
        "the policy is looked for in `actor` in the step's folder",
        'local_path=os.path.join(global_step_folder, "actor")',
    ),
)


class GrpoCareActorRolloutRefWorker(RunActorRolloutRefWorker):
    """verl's hybrid worker whose reference follows its policy."""

    _moving: MovingReference

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def follow_policy(self, settings: dict[str, Any]) -> None:
        """From now on; `settings` is `GrpoCareConfig` as a mapping.

        Raises ValueError where the two are not sharded alike.
        """
        policy = self.actor.engine
        config = GrpoCareConfig.from_mapping(settings)
        self._moving = MovingReference(policy, self.ref.engine, config)
        policy.optimizer_step = counting(policy.optimizer_step, self._moving.after_optimizer_step)

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def reference_state(self) -> dict[str, float | None]:
        """`MovingReference.take_counts`, and the distance to the policy if the reference moved."""
        return {**self._moving.take_counts(), "distance": self._moving.take_distance()}

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def save_checkpoint(
        self,
        local_path: str,
        hdfs_path: str | None = None,
        global_step: int = 0,
        max_ckpt_to_keep: int | None = None,
    ) -> None:
        """verl's, of the policy; then the reference in a folder beside it."""
        super().save_checkpoint(local_path, hdfs_path, global_step, max_ckpt_to_keep)
        self._moving.save(Path(local_path).with_name(FOLDER), global_step)

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def load_checkpoint(
        self, local_path: str, hdfs_path: str | None = None, del_local_after_load: bool = False
    ) -> None:
        """verl's, of the policy; then the reference.

        Raises CheckpointError where there is none and the settings do not allow it.
        """
        folder = Path(local_path).with_name(FOLDER)
        self._moving.check(folder)
        super().load_checkpoint(local_path, hdfs_path, del_local_after_load)
        self._moving.load(folder)
