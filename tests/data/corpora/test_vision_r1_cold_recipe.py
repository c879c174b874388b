"""The recipe of the cold start composes with verl's SFT trainer and adds no unknown key."""

from collections.abc import Iterator

import pytest
import verl  # noqa: F401  loads the plugin, which adds the recipes to Hydra's search path
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf
from verl.utils.config import omega_conf_to_dataclass

FILES = ["data.train_files=train.parquet", "model.path=model"]


@pytest.fixture(autouse=True)
def verls_configuration() -> Iterator[None]:
    with initialize_config_module("verl.trainer.config", version_base=None):
        yield


def composed(*overrides: str) -> DictConfig:
    return compose("sft_trainer_engine", [*FILES, *overrides])


def leaves(config: DictConfig) -> dict[str, object]:
    """Values by dotted key, every interpolation resolved."""
    found: dict[str, object] = {}

    def add(prefix: str, node: object) -> None:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                add(f"{prefix}.{key}" if prefix else str(key), value)
        else:
            found[prefix] = node

    add("", OmegaConf.to_container(config, resolve=True))
    return found


def test_the_recipe_changes_known_keys_only() -> None:
    plain, recipe = leaves(composed()), leaves(composed("+recipe=sft_vision_r1_cold"))
    assert recipe.keys() == plain.keys()
    changed = {key: value for key, value in recipe.items() if value != plain[key]}
    assert changed["optim.lr"] == 1e-5
    assert changed["data.max_length"] == 16384
    assert changed["trainer.total_epochs"] == 2
    assert changed["optim.lr_warmup_steps_ratio"] == 0.05
    assert changed["checkpoint.load_contents"][-1] == "hf_model"
    assert recipe["data.train_files"] == "train.parquet"


def test_a_row_of_the_greatest_length_fits_into_a_micro_batch() -> None:
    data = composed("+recipe=sft_vision_r1_cold").data
    assert data.max_token_len_per_gpu >= data.max_length
    # Longer rows are left out when the data are prepared; the trainer must not cut them.
    assert data.truncation == "error"


def test_the_data_command_bounds_rows_by_the_recipes_length() -> None:
    from care_verl.data.commands import _MAX_SFT_TOKENS

    assert composed("+recipe=sft_vision_r1_cold").data.max_length == _MAX_SFT_TOKENS


@pytest.mark.parametrize(
    "recipe", ["sft_vision_r1_cold", "[sft_vision_r1_cold,sft_embedded_hardware]"]
)
def test_verl_makes_its_own_objects_of_the_values(recipe: str) -> None:
    config = composed(f"+recipe={recipe}")
    for section in ("engine", "optim", "checkpoint"):
        omega_conf_to_dataclass(config[section])


def test_the_hardware_recipe_named_last_has_the_last_word() -> None:
    plain = leaves(composed())
    both = leaves(composed("+recipe=[sft_vision_r1_cold,sft_embedded_hardware]"))
    assert both["trainer.device"] == "cpu"
    assert both["optim.lr"] == 1.5e-3
    assert both["data.use_dynamic_bsz"] is False
    assert both["optim.lr_scheduler_type"] == "cosine"
    # Free dictionaries of verl's: arguments of transformers' configuration and of FSDP.
    assert both.keys() - plain.keys() == {
        "model.override_config.attn_implementation",
        "engine.mixed_precision.param_dtype",
        "engine.mixed_precision.reduce_dtype",
        "engine.mixed_precision.buffer_dtype",
    }


def test_values_of_the_command_line_win() -> None:
    assert composed("+recipe=sft_vision_r1_cold", "optim.lr=2e-6").optim.lr == 2e-6
