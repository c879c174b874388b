"""The FSDP actor of a CARE run.

verl hands a policy loss one micro-batch of one rank. Eq. 12 divides by |S*| of the whole global
mini-batch, so the count is taken here, once per mini-batch and over all data-parallel ranks.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu

from care_verl.platform.places import ACTOR, ENGINE, TRAINING_WORKER
from care_verl.platform.seam import Seam
from care_verl.training.care.actor_pooling import OraclePooling
from care_verl.training.care.policy_loss import RATIO
from care_verl.training.fields import IN_S_STAR
from care_verl.training.queue_rows import MASKS
from care_verl.training.run.worker import RunActorRolloutRefWorker, RunTrainingWorker

RELIES_ON = (
    Seam(
        f"{ACTOR}.init_model",
        "which worker the actor builds",
        "partial(ppo_loss, config=actor_config)",
        "self.actor = self.actor_worker_cls(config=actor_training_config)",
    ),
    Seam(
        f"{ACTOR}.update_actor",
        "an update is cut into mini-batches",
        "self.actor.train_mini_batch(data=data)",
    ),
    Seam(
        f"{TRAINING_WORKER}.train_mini_batch",
        "each mini-batch passes train_batch",
        'num_mini_batch = tu.pop(data, key="num_mini_batch"',
        "if mini_batch_size is None",
        "mini_batch_size_per_gpu = batch_size_per_dp // num_mini_batch",
        "actor_output = self.train_batch(mini_batch_td)",
    ),
    Seam(
        f"{ENGINE}.forward_backward_batch",
        "the engine counts ranks, not rows",
        "dp_size=self.get_data_parallel_size()",
        "self.forward_step(micro_batch",
    ),
)


class CareTrainingWorker(RunTrainingWorker):
    """verl's training worker with |S*| as the global batch size and, on request, the oracle."""

    _steps_of_update = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._oracle = OraclePooling(self.engine)

    def train_mini_batch(self, data: TensorDict) -> TensorDict:
        """All optimizer steps of one update."""
        self._steps_of_update = 0
        return super().train_mini_batch(data)

    def train_batch(self, data: TensorDict) -> TensorDict:
        """One optimizer step on one mini-batch (this rank's rows)."""
        count = global_row_count(
            data[IN_S_STAR], self.engine.get_data_parallel_group(), self.device_name
        )
        # 0 only where all advantages of the mini-batch are 0; verl's KL term divides by it too.
        tu.assign_non_tensor(data, global_batch_size=max(count, 1))
        clear_rows_outside(data)
        output = super().train_batch(data)
        if output is not None and self._steps_of_update > 0:
            # Later steps of an update leave the ratio 1 on purpose.
            tu.get(output, "metrics").pop(RATIO, None)
        self._steps_of_update += 1
        return output

    def infer_batch(self, data: TensorDict) -> TensorDict:
        """Log-probabilities; with rationale ranges in `data`, also the oracle's embeddings."""
        with self._oracle.watching(data):
            return super().infer_batch(data)


def global_row_count(in_s_star: torch.Tensor, dp_group: Any, device: str) -> int:
    """|S*|: rows with a nonzero advantage, summed over the data-parallel ranks.

    `in_s_star` is [B] or [B, 1], dense or nested (as verl's queue returns it).
    """
    values = in_s_star.values() if in_s_star.is_nested else in_s_star
    count = (values != 0).sum().to(device)
    if dp_group is not None:
        torch.distributed.all_reduce(count, op=torch.distributed.ReduceOp.SUM, group=dp_group)
    return int(count.item())


def clear_rows_outside(data: TensorDict) -> None:
    """Zero the masks of rows outside S*, in place: verl's KL term takes in every row with a mask.

    `data` holds jagged masks and `IN_S_STAR`, [B] or [B, 1], dense or nested.
    """
    values = data[IN_S_STAR]
    member = (values.values() if values.is_nested else values).flatten() != 0
    for name in MASKS:
        mask = data[name]
        lengths = mask.offsets().diff()
        inside = member.to(mask.device).repeat_interleave(lengths)
        data[name] = torch.nested.nested_tensor_from_jagged(
            mask.values().masked_fill(~inside, 0), mask.offsets()
        )


class CareActorRolloutRefWorker(RunActorRolloutRefWorker):
    """verl's hybrid worker around `CareTrainingWorker`."""

    actor_worker_cls = CareTrainingWorker
    ref_worker_cls = CareTrainingWorker
