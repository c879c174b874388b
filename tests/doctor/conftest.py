"""A sound run of the embedded task: data, a model with random weights, and its overrides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from care_verl import platform
from care_verl.data.embedded.generator import example
from care_verl.data.embedded.rows import RL_SCHEMA, rl_row, write_rows

# The processor of transformers imports torchvision, which needs the platform's help on a CPU.
platform.install()

ROWS = 48


def rows(split: Any = "train", number: int = ROWS) -> list[dict[str, Any]]:
    """Rows of the embedded task."""
    return [rl_row(example(0, split, index)) for index in range(number)]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """A function that writes rows to a file."""

    def write(items: list[dict[str, Any]]) -> Path:
        path = tmp_path / "train.parquet"
        write_rows(items, path, RL_SCHEMA)
        return path

    return write


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> list[str]:
    """Overrides of a run in which nothing is wrong."""
    folder = tmp_path_factory.mktemp("sound")
    write_rows(rows("train"), folder / "train.parquet", RL_SCHEMA)
    write_rows(rows("test", 8), folder / "test.parquet", RL_SCHEMA)
    return [
        "+recipe=embedded",
        f"data.train_files={folder / 'train.parquet'}",
        f"data.val_files={folder / 'test.parquet'}",
        f"actor_rollout_ref.model.path={model_folder}",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
        "trainer.total_training_steps=2",
    ]


@pytest.fixture(scope="session")
def completed(sound: list[str]) -> Callable[..., DictConfig]:
    """A function: further overrides -> the completed configuration of the sound run."""
    import verl  # noqa: F401  # loads the plugin

    from care_verl.tools.doctor.composition import compose
    from care_verl.tools.doctor.validation import validated

    def build(*overrides: str) -> DictConfig:
        return validated(compose([*sound, *overrides]), [])[0]

    return build
