"""GRPO-CARE's wiring: what it cannot be combined with, and which of verl's settings it decides."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.methods.grpo_care import GRPO_CARE
from care_verl.platform.places import FSDP_CHECKPOINTS
from care_verl.platform.seam import Seam
from care_verl.training.run.replacement import put
from care_verl.training.wiring import Refusal, Wiring, settings_of

TRAINER_MODE = "care_verl_plugin_grpo_care"
"""So named for the error of a process without the plugin."""

NO_SECOND_CLIP = 1e9
"""`actor.clip_ratio_c` of verl's vanilla loss, which clips a second time where the ratio of a row
with a negative advantage is above it. verl holds ratios below e^20, and so it never is."""

LORA = (
    "actor_rollout_ref.model.lora_rank",
    "actor_rollout_ref.model.lora.rank",
    "actor_rollout_ref.model.lora_adapter_path",
)

_KL = "it has no KL penalty: its reference, an average of the policy, decides on bonuses only"


RELIES_ON = (
    Seam(
        f"{FSDP_CHECKPOINTS}.save_checkpoint",
        "the checkpoint manager saves what it is told",
        "if self.should_save_model:",
        "if self.should_save_optimizer:",
        "if self.should_save_ext",
    ),
)


class GrpoCareWiring(Wiring[GrpoCareConfig]):
    """`algorithm.adv_estimator=grpo_care`."""

    method = GRPO_CARE
    settings = GrpoCareConfig
    trainer = "care_verl.training.grpo_care.trainer"
    trainer_mode = TRAINER_MODE
    agent_loop_manager = "care_verl.training.grpo_care.agent_loop.GrpoCareAgentLoopManager"
    early_rewards = "accuracies are read where rows are decoded"
    refusals = (
        Refusal("algorithm.use_kl_in_reward", (False,), _KL),
        Refusal("actor_rollout_ref.actor.use_kl_loss", (False,), _KL),
        Refusal(
            "algorithm.filter_groups.enable",
            (False, None),
            "groups of equal accuracy are those in which only the bonus tells rows apart",
        ),
        Refusal(
            "actor_rollout_ref.ref.strategy",
            ("fsdp", "fsdp2"),
            "the reference is averaged shard by shard; leave the key at the actor's",
        ),
        Refusal(
            "actor_rollout_ref.ref.fsdp_config.model_dtype",
            ("fp32",),
            "one update moves a weight by 0.5 % of its distance to the policy, which is lost in 16 "
            "bits; the precision of the forward pass is mixed_precision's",
        ),
    )

    def refuse(self, config: DictConfig, settings: GrpoCareConfig) -> None:
        """Also refuses LoRA."""
        for key in LORA:
            value = OmegaConf.select(config, key)
            if value:
                raise ValueError(
                    f"{key} = {value!r}; GRPO-CARE needs all weights trained: with LoRA verl's "
                    "reference is the policy without its adapter, and there is no second model "
                    "that could follow it. Set it to null or 0, or use another method"
                )

    def complete(self, config: DictConfig, settings: GrpoCareConfig) -> None:
        """The averaging and clipping of its loss, and what its reference saves."""
        put(
            config,
            "actor_rollout_ref.actor.loss_agg_mode",
            "seq-mean-token-mean",
            "its authors take the mean over rows of their means; no key sets it",
        )
        put(
            config,
            "actor_rollout_ref.actor.clip_ratio_c",
            NO_SECOND_CLIP,
            "its loss is clipped once, by clip_ratio_low and clip_ratio_high; no key sets it",
        )
        # A forward-only model has no optimizer, and nothing random.
        config.actor_rollout_ref.ref.checkpoint = {
            "_target_": "verl.trainer.config.CheckpointConfig",
            "save_contents": ["model"],
            "load_contents": ["model"],
        }

    def needs_reference(self, config: DictConfig) -> bool:
        """Always: it decides on the bonuses."""
        return True


WIRING = GrpoCareWiring()


def grpo_care_config(config: DictConfig) -> GrpoCareConfig:
    """The validated `algorithm.grpo_care` of a run.

    Raises ValueError on an unknown key or a bad value.
    """
    return settings_of(config, GrpoCareConfig)
