"""What a save writes, and in which order; what a load reads."""

from __future__ import annotations

from care_verl.seams.places import FSDP_CHECKPOINTS, TRAINER
from care_verl.seams.seam import Seam

SEAMS: tuple[Seam, ...] = (
    Seam(
        "a save ends with the tracker",
        "training.checkpointing.saving",
        f"{TRAINER}._save_checkpoint",
        fragments=(
            'self.config.trainer.default_local_dir, f"global_step_{self.global_steps}"',
            'self.config.trainer.get("remove_previous_ckpt_in_save", False)',
            'self.config.trainer.get("max_actor_ckpt_to_keep", None)',
            "max_ckpt_to_keep=max_actor_ckpt_to_keep",
            'os.path.join(local_global_step_folder, "data.pt")',
            "torch.save(self.train_dataloader.state_dict(), dataloader_local_path)",
            '"latest_checkpointed_iteration.txt"',
        ),
    ),
    Seam(
        "the callback is told after the tracker",
        "training.checkpointing.saving",
        f"{TRAINER}._save_checkpoint",
        fragments=(
            '"latest_checkpointed_iteration.txt"',
            "self.checkpoint_callback.on_save(",
        ),
        only_with="verl.trainer.ppo.checkpoint_callback",
    ),
    Seam(
        "a load takes the folder that it is told",
        "training.checkpointing.saving",
        f"{TRAINER}._load_checkpoint",
        fragments=(
            'self.config.trainer.resume_mode == "disable"',
            'self.config.trainer.resume_mode == "resume_path"',
            "global_step_folder = self.config.trainer.resume_from_path",
            'int(global_step_folder.split("global_step_")[-1])',
            "self.actor_rollout_wg.load_checkpoint(",
            "self.train_dataloader.load_state_dict(dataloader_state_dict)",
        ),
    ),
    Seam(
        "without a limit no checkpoint is removed",
        "training.checkpointing.saving",
        "verl.utils.checkpoint.checkpoint_manager:BaseCheckpointManager.register_checkpoint",
        fragments=(
            "if not (max_ckpt_to_keep and isinstance(max_ckpt_to_keep, int)",
            "return",
        ),
    ),
    Seam(
        "weights, optimizer, learning rate and random states are saved",
        "training.checkpointing.saving",
        f"{FSDP_CHECKPOINTS}.save_checkpoint",
        fragments=(
            "self.ensure_checkpoint_capacity(max_ckpt_to_keep)",
            "torch.save(model_state_dict, model_path)",
            "torch.save(optimizer_state_dict, optim_path)",
            '"lr_scheduler": lr_scheduler_state_dict',
            '"rng": self.get_rng_state()',
            "self.register_checkpoint(local_path, max_ckpt_to_keep)",
        ),
    ),
)
