"""Every recipe composes with verl's own configuration and passes its checks and ours.

The GPU recipes are checked as configurations; that they run on a GPU is not shown here.
"""

from __future__ import annotations

import logging
import math

import pytest
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass

from care_verl.tools.recipes.catalogue import COLD_START, KINDS, catalogue
from care_verl.training.run.replacement import NOT_IN_FORCE

from .conftest import RL, SFT, Composed, changed, leaves_of, validated

CARE = "care_qwen2_5_vl_7b"
NAMES = [recipe.name for recipe in catalogue()]
COLD_STARTS = [recipe.name for recipe in catalogue() if recipe.kind == COLD_START]
EXPERIMENTS = [recipe.name for recipe in catalogue() if recipe.kind == KINDS[""]]
PARTS = [name for name in NAMES if "/" in name]

ADDED = (
    # Ours.
    "algorithm.care.",
    "algorithm.grpo_care.",
    "run_name.",
    # What verl passes on whole: to transformers, FSDP and Ray.
    "actor_rollout_ref.model.override_config.",
    "actor_rollout_ref.actor.fsdp_config.mixed_precision.",
    "actor_rollout_ref.ref.fsdp_config.mixed_precision.",
    "engine.mixed_precision.",
    "model.override_config.",
    "ray_kwargs.ray_init.",
    # verl reads it with a default (`vllm_async_server.py`).
    "actor_rollout_ref.rollout.enable_sleep_mode",
)
"""Keys that a recipe may add. Hydra refuses no key of a recipe by itself."""


def with_care(name: str) -> tuple[str, ...]:
    """An experiment as it is, a part on top of CARE."""
    return (CARE, name) if name in PARTS else (name,)


@pytest.mark.parametrize("name", NAMES)
def test_it_adds_no_unknown_key(name: str, composed: Composed) -> None:
    base = SFT if name in COLD_STARTS else RL
    plain = set(leaves_of(composed(base=base)))
    added = set(leaves_of(composed(*with_care(name), base=base))) - plain
    assert [key for key in sorted(added) if not key.startswith(ADDED)] == []


@pytest.mark.parametrize("name", [*EXPERIMENTS, *PARTS])
def test_it_passes_verls_checks_and_ours(
    name: str, composed: Composed, caplog: pytest.LogCaptureFixture
) -> None:
    """And asks for no value that its method replaces."""
    with caplog.at_level(logging.WARNING):
        config = validated(composed(*with_care(name)))
    told = [record.getMessage() for record in caplog.records]
    assert [text for text in told if NOT_IN_FORCE in text] == []
    for section in ("actor_rollout_ref.actor", "actor_rollout_ref.rollout"):
        assert omega_conf_to_dataclass(OmegaConf.select(config, section)) is not None


@pytest.mark.parametrize("name", COLD_STARTS)
def test_verl_makes_its_objects_of_a_cold_start(name: str, composed: Composed) -> None:
    config = composed(name, base=SFT)
    for section in ("engine", "optim", "checkpoint"):
        omega_conf_to_dataclass(config[section])


@pytest.mark.parametrize("model", ["qwen2_5_vl_3b", "qwen2_5_vl_7b", "qwen3_vl_8b"])
def test_the_cold_start_of_a_model_is_of_the_same_model(model: str, composed: Composed) -> None:
    start = composed(f"sft_{model}", base=SFT)
    training = composed(f"care_{model}")
    assert start.model.path == training.actor_rollout_ref.model.path
    assert changed(start, composed("sft_vision_r1_cold", base=SFT)).keys() == {
        "model.path",
        "data.train_files",
        "trainer.experiment_name",
        "trainer.default_local_dir",
    }


def test_the_recipe_named_last_wins(composed: Composed) -> None:
    config = composed(CARE, "ablation/k2", "hardware/nodes", overrides=("trainer.nnodes=8",))
    assert config.algorithm.care.K == 2
    assert config.trainer.nnodes == 8
    assert config.trainer.experiment_name == f"{CARE}_k2_seed0"
    both = composed(CARE, "ablation/k2", "ablation/k6")
    assert both.algorithm.care.K == 6


@pytest.mark.parametrize("method", ["care", "care_no_rgr", "grpo", "dapo", "gspo", "grpo_care"])
@pytest.mark.parametrize("before", ["care", "dapo", "gspo"])
def test_a_method_leaves_nothing_of_the_one_before(
    method: str, before: str, composed: Composed
) -> None:
    """Beside the settings of methods that are not asked for."""
    alone = composed(f"{method}_qwen2_5_vl_7b")
    after = composed(f"{before}_qwen2_5_vl_7b", f"method/{method}")
    ours = ("algorithm.care.", "algorithm.filter_groups.metric")
    assert [key for key in changed(after, alone) if not key.startswith(ours)] == []


def test_replacing_model_data_and_hardware_leaves_the_method(composed: Composed) -> None:
    replaced = composed(CARE, "model/embedded", "data/embedded", "hardware/cpu")
    # The cue that the small model was taught.
    assert [k for k in changed(replaced, composed(CARE)) if k.startswith("algorithm.")] == [
        "algorithm.care.rgr.cue",
        "algorithm.care.rgr.min_new_tokens",
    ]
    assert replaced.trainer.device == "cpu"
    assert replaced.data.max_prompt_length == 64
    assert replaced.actor_rollout_ref.rollout.tensor_model_parallel_size == 1


def test_qwen3_reasons_in_its_own_tag(composed: Composed) -> None:
    for method in ("care", "grpo", "grpo_care"):
        config = composed(f"{method}_qwen3_vl_8b")
        assert config.algorithm.care.regions.think_tag == "reasoning"
        assert "reasoning" in config.data.train_files
        assert config.data.image_patch_size == 16
    assert config.algorithm.grpo_care.think_tag == "reasoning"


@pytest.mark.parametrize(
    ("name", "gpus"),
    [(CARE, 8), ("hardware/gpu1", 1), ("hardware/gpu1_lora", 1), ("hardware/nodes", 16)],
)
def test_batches_divide_by_the_gpus(name: str, gpus: int, composed: Composed) -> None:
    """verl checks fixed micro-batches only, so it is asked with some."""
    fixed = (
        "actor_rollout_ref.actor.use_dynamic_bsz=False",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
    )
    config = validated(composed(CARE, name, overrides=fixed))
    assert config.trainer.nnodes * config.trainer.n_gpus_per_node == gpus
    rows = config.actor_rollout_ref.actor.ppo_mini_batch_size * config.actor_rollout_ref.rollout.n
    assert rows % gpus == 0
    parallel = config.actor_rollout_ref.rollout.tensor_model_parallel_size
    assert config.trainer.n_gpus_per_node % parallel == 0


@pytest.mark.parametrize("nodes", [2, 3, 4, 5, 6, 8])
def test_batches_divide_by_the_nodes(nodes: int, composed: Composed) -> None:
    """So that verl has nothing to fill up: `PPOTrainer._get_required_batch_multiple`."""
    batch = "data.train_batch_size=480", "actor_rollout_ref.actor.ppo_mini_batch_size=120"
    overrides = (f"trainer.nnodes={nodes}", *(() if nodes in (2, 4, 8) else batch))
    config = composed(CARE, "hardware/nodes", overrides=overrides)
    G = config.actor_rollout_ref.rollout.n
    update = config.actor_rollout_ref.actor.ppo_mini_batch_size * G
    multiple = math.lcm(nodes * config.trainer.n_gpus_per_node, update)
    assert config.data.train_batch_size * G % multiple == 0


def test_a_longest_row_fits_into_a_micro_batch(composed: Composed) -> None:
    for hardware in ("hardware/gpus8", "hardware/nodes", "hardware/gpu1", "hardware/gpu1_lora"):
        config = composed(CARE, hardware)
        longest = config.data.max_prompt_length + config.data.max_response_length
        assert config.actor_rollout_ref.actor.ppo_max_token_len_per_gpu >= longest


@pytest.mark.parametrize("estimator", ["care", "grpo_care"])
def test_the_embedded_task_moves_to_a_gpu(estimator: str, composed: Composed) -> None:
    """`hardware/gpu1` behind it takes back what is for a CPU; the rest suits it anywhere."""
    on_cpu = composed("hardware/cpu")
    moved = composed(
        "embedded", "hardware/gpu1", overrides=(f"algorithm.adv_estimator={estimator}",)
    )
    values = leaves_of(moved)
    for_a_cpu = {
        key for key, value in changed(on_cpu, composed()).items() if values.get(key) != value
    }
    actor, ref = ("actor_rollout_ref.actor.fsdp_config", "actor_rollout_ref.ref.fsdp_config")
    assert {key for key in for_a_cpu if not key.startswith("distillation.")} == {
        "trainer.device",
        f"{actor}.mixed_precision.param_dtype",
        f"{ref}.mixed_precision.param_dtype",
        "actor_rollout_ref.model.enable_gradient_checkpointing",
        "actor_rollout_ref.rollout.dtype",
        "actor_rollout_ref.rollout.enable_sleep_mode",
        "actor_rollout_ref.rollout.enforce_eager",
        "actor_rollout_ref.rollout.free_cache_engine",
        "ray_kwargs.ray_init.num_cpus",
        "ray_kwargs.ray_init.num_gpus",
    }
    config = validated(moved)
    assert config.trainer.device == "cuda"
    assert config.actor_rollout_ref.rollout.dtype == "bfloat16"
    for role in (config.actor_rollout_ref.actor, config.actor_rollout_ref.ref):
        assert role.fsdp_config.model_dtype == "fp32"
        assert role.fsdp_config.mixed_precision.param_dtype == "bf16"
    # Rounding to bf16 would end a run with embedded's threshold.
    assert config.algorithm.care.parity.max_difference is None


def test_one_gpu_needs_no_flash_attention(composed: Composed) -> None:
    model = composed("care_qwen2_5_vl_3b", "hardware/gpu1").actor_rollout_ref.model
    assert model.override_config.attn_implementation == "sdpa"
    # verl removes padding by flash-attn's kernels.
    assert not model.use_remove_padding


def test_the_prompts_bound_is_that_of_the_data_command(composed: Composed) -> None:
    from care_verl.data.commands import _MAX_PROMPT_TOKENS

    assert composed(CARE).data.max_prompt_length == _MAX_PROMPT_TOKENS


def test_each_composition_has_a_name_of_its_own(composed: Composed) -> None:
    """Runs of one name share a checkpoint folder, and the second would resume the first."""
    named = [*EXPERIMENTS, *(part for part in PARTS if part.startswith("ablation/"))]
    folders = [composed(*with_care(name)).trainer.default_local_dir for name in named]
    assert len(set(folders)) == len(folders)
