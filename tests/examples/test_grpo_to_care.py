"""One override makes a GRPO command line a CARE one: the shipped script's, and verl's own example.

Composed and checked as `main_ppo` does before Ray starts; that they train is not shown here.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

from tests.docs.pages import Page
from tests.docs.shell import commands
from tests.validation import validate

from .conftest import ROOT

SCRIPT = ROOT / "examples" / "grpo_to_care.sh"
QUICKSTART = ROOT / "docs" / "quickstart.md"
MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"

VERLS_EXAMPLE = """
algorithm.adv_estimator=grpo algorithm.use_kl_in_reward=False
data.train_files=train.parquet data.val_files=test.parquet data.image_key=images
data.train_batch_size=512 data.max_prompt_length=1024 data.max_response_length=2048
data.filter_overlong_prompts=True data.truncation=error
actor_rollout_ref.model.path=Qwen/Qwen2.5-VL-7B-Instruct
actor_rollout_ref.model.use_remove_padding=True
actor_rollout_ref.model.enable_gradient_checkpointing=True
actor_rollout_ref.actor.optim.lr=1e-6 actor_rollout_ref.actor.ppo_mini_batch_size=128
actor_rollout_ref.actor.use_dynamic_bsz=True
actor_rollout_ref.actor.ppo_max_token_len_per_gpu=24576
actor_rollout_ref.actor.use_kl_loss=True actor_rollout_ref.actor.kl_loss_coef=0.01
actor_rollout_ref.actor.kl_loss_type=low_var_kl actor_rollout_ref.actor.entropy_coeff=0
actor_rollout_ref.actor.fsdp_config.param_offload=False
actor_rollout_ref.actor.fsdp_config.optimizer_offload=False
actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.tensor_model_parallel_size=2
actor_rollout_ref.rollout.gpu_memory_utilization=0.6 actor_rollout_ref.rollout.n=5
actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True
actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=24576
actor_rollout_ref.ref.log_prob_use_dynamic_bsz=True
actor_rollout_ref.ref.log_prob_max_token_len_per_gpu=24576
actor_rollout_ref.ref.fsdp_config.param_offload=True
trainer.balance_batch=True trainer.logger=[console,wandb] trainer.n_gpus_per_node=8
trainer.nnodes=1 trainer.save_freq=20 trainer.test_freq=5 trainer.total_epochs=15
actor_rollout_ref.actor.strategy=fsdp2 actor_rollout_ref.model.use_fused_kernels=True
actor_rollout_ref.rollout.multi_stage_wake_up=True
actor_rollout_ref.rollout.enable_chunked_prefill=False
actor_rollout_ref.rollout.enforce_eager=False actor_rollout_ref.rollout.free_cache_engine=True
"""
"""verl 0.9.0: examples/grpo_trainer/run_qwen2_5_vl_7b_fsdp.sh, its variables at their defaults."""

REPLACED = {
    "actor_rollout_ref.actor.use_kl_loss": True,
    "actor_rollout_ref.actor.kl_loss_coef": 0.02,
    "actor_rollout_ref.actor.clip_ratio_low": 0.2,
    "actor_rollout_ref.actor.clip_ratio_high": 0.28,
    "actor_rollout_ref.actor.loss_agg_mode": "seq-mean-token-mean",
    "actor_rollout_ref.actor.policy_loss.loss_mode": "care",
    "actor_rollout_ref.rollout.calculate_log_probs": True,
    "reward.reward_manager.name": "CareRewardManager",
    "trainer.v1.trainer_mode": "care_verl_plugin",
}
"""What CARE sets by itself."""


def completed(overrides: list[str]) -> DictConfig:
    import verl  # noqa: F401  # loads the plugin

    with initialize_config_module("verl.trainer.config", version_base=None):
        return validate(compose("ppo_trainer", overrides=overrides))


def given(tmp_path: Path, *arguments: str) -> list[str]:
    """What the script hands to `main_ppo`; `python` is a stand-in that writes it down."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path / 'given'}\n")
    python.chmod(0o755)
    environment = {
        "PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]]),
        "MODEL": MODEL,
        "TRAIN": "train.parquet",
        "TEST": "test.parquet",
    }
    subprocess.run([str(SCRIPT), *arguments], env=environment, check=True)
    module, name, *overrides = (tmp_path / "given").read_text().splitlines()
    assert (module, name) == ("-m", "verl.trainer.main_ppo")
    return overrides


def chosen(config: DictConfig, keys: dict[str, object]) -> dict[str, object]:
    return {key: OmegaConf.select(config, key) for key in keys}


def test_the_script_is_one_override_away_from_grpo(tmp_path: Path) -> None:
    """Nothing in it that CARE replaces, and all that it sets is kept."""
    overrides = given(tmp_path, "++algorithm.care.K=6")
    assert "++algorithm.care.K=6" in overrides
    stated = dict(item.lstrip("+").split("=", 1) for item in overrides)
    assert not REPLACED.keys() & stated.keys()
    config = completed(overrides)
    assert chosen(config, REPLACED) == REPLACED
    assert config.algorithm.care.K == 6
    plain = completed(["algorithm.adv_estimator=grpo", *overrides[1:-1]])
    kept = chosen(plain, dict.fromkeys(stated.keys() - {"algorithm.adv_estimator"}))
    assert {**chosen(config, kept), "algorithm.care.K": None} == kept


def test_the_script_has_the_values_that_are_safe(tmp_path: Path) -> None:
    config = completed(given(tmp_path)).actor_rollout_ref
    # A dummy start leaves random what no weight update carries.
    assert config.rollout.load_format == "auto"
    # Nothing is cut off, so that both engines score the same distribution.
    assert (config.rollout.temperature, config.rollout.top_p, config.rollout.top_k) == (1.0, 1, -1)
    assert not config.rollout.multi_stage_wake_up
    assert not config.model.use_fused_kernels
    assert config.actor.use_dynamic_bsz
    assert config.rollout.n == 8


def test_verls_example_becomes_care() -> None:
    """Its KL, clip and loss are replaced; the rest stays as it is."""
    overrides = shlex.split(VERLS_EXAMPLE)
    config = completed([*overrides, "algorithm.adv_estimator=care"])
    assert chosen(config, REPLACED) == REPLACED
    assert config.actor_rollout_ref.rollout.n == 5
    assert config.actor_rollout_ref.actor.kl_loss_type == "low_var_kl"


@pytest.mark.parametrize("key", [*REPLACED, "load_format", "multi_stage_wake_up", "top_p"])
def test_the_page_says_what_is_replaced_and_what_is_safe(key: str) -> None:
    assert key.rpartition(".")[2] in QUICKSTART.read_text("utf-8")


def test_the_line_of_the_readme_is_complete() -> None:
    """With paths in the place of its dots it passes verl's checks and CARE's."""
    (line,) = [
        words
        for words in commands(Page(ROOT / "README.md"))
        if "verl.trainer.main_ppo" in words and "algorithm.adv_estimator=care" in words
    ]
    overrides = [word.replace("...", "x.parquet") for word in line if "=" in word]
    assert chosen(completed(overrides), REPLACED) == REPLACED
