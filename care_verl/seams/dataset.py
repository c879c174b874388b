"""Rows of the dataset, and the rewards of what is answered to them."""

from __future__ import annotations

from care_verl.seams.places import DATASET, REWARD_MANAGER
from care_verl.seams.seam import Seam

SEAMS: tuple[Seam, ...] = (
    Seam(
        "images are opened where they have bytes",
        "training.dataset",
        f"{DATASET}._build_messages",
        fragments=(
            'if "bytes" in image:',
            'content_list.append({"type": "image", **image})',
        ),
    ),
    Seam(
        "agent loops decode through the dataset's class",
        "training.dataset",
        f"{DATASET}.process_multi_modal_info",
        fragments=("cls._process_multi_modal_info(messages",),
    ),
    Seam(
        "dataset._build_messages",
        "training.dataset",
        f"{DATASET}._build_messages",
        parameters="self, example, key",
    ),
    Seam(
        "dataset._process_multi_modal_info",
        "training.dataset",
        f"{DATASET}._process_multi_modal_info",
        parameters="messages, image_patch_size, config",
    ),
    Seam(
        "rewards come from the configured manager",
        "training.reward_manager",
        "verl.experimental.reward_loop.reward_loop:RewardLoopWorker",
        fragments=(
            "load_reward_manager(",
            "await self.reward_manager.run_single(data)",
        ),
    ),
    Seam(
        "reward_manager.__init__",
        "training.reward_manager",
        f"{REWARD_MANAGER}.__init__",
        parameters="self, config, tokenizer, compute_score",
    ),
    Seam(
        "reward_manager.run_single",
        "training.reward_manager",
        f"{REWARD_MANAGER}.run_single",
        parameters="self, data",
    ),
)
