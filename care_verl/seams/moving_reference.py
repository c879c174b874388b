"""What GRPO-CARE's reference follows: the actor's engine and its checkpoints."""

from __future__ import annotations

from care_verl.seams.places import ENGINE, FSDP_CHECKPOINTS
from care_verl.seams.seam import Seam

SEAMS: tuple[Seam, ...] = (
    Seam(
        "an engine's update ends in its optimizer step",
        "training.grpo_care.moving_reference",
        "verl.workers.engine.base:BaseEngine.train_batch",
        fragments=(
            "self.forward_backward_batch(",
            "grad_norm = self.optimizer_step()",
        ),
    ),
    Seam(
        "an optimizer step skips what is not finite, and returns the norm",
        "training.grpo_care.moving_reference",
        f"{ENGINE}.optimizer_step",
        fragments=(
            "if not torch.isfinite(grad_norm):",
            "self.optimizer.zero_grad()",
            "self.optimizer.step()",
            "return grad_norm.item()",
        ),
    ),
    Seam(
        "an engine keeps its module and its checkpoint manager",
        "training.grpo_care.moving_reference",
        f"{ENGINE}.initialize",
        fragments=(
            "self.checkpoint_manager = FSDPCheckpointManager(",
            "model=self.module",
        ),
    ),
    Seam(
        "a forward-only model is offloaded to host memory",
        "training.grpo_care.moving_reference",
        f"{ENGINE}._build_fsdp_module",
        fragments=(
            "CPUOffload(offload_params=True)",
            "self.engine_config.forward_only",
            "CPUOffloadPolicy(pin_memory=True)",
        ),
    ),
    Seam(
        "the checkpoint manager saves what it is told",
        "training.grpo_care.wiring",
        f"{FSDP_CHECKPOINTS}.save_checkpoint",
        fragments=(
            "if self.should_save_model:",
            "if self.should_save_optimizer:",
            "if self.should_save_ext",
        ),
    ),
    Seam(
        "moving_reference.optimizer_step",
        "training.grpo_care.moving_reference",
        f"{ENGINE}.optimizer_step",
        parameters="self",
    ),
    Seam(
        "moving_reference.save_checkpoint",
        "training.grpo_care.moving_reference",
        f"{FSDP_CHECKPOINTS}.save_checkpoint",
        parameters="self, local_path, hdfs_path, global_step, max_ckpt_to_keep",
    ),
    Seam(
        "moving_reference.load_checkpoint",
        "training.grpo_care.moving_reference",
        f"{FSDP_CHECKPOINTS}.load_checkpoint",
        parameters="self, local_path, hdfs_path, del_local_after_load",
    ),
)
