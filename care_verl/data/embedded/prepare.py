"""The embedded task's files: the untrained model, and the rows to train and to judge it on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from care_verl import platform
from care_verl.common.files import all_or_nothing
from care_verl.data.embedded.demonstrations import NoiseRates
from care_verl.data.embedded.generator import example
from care_verl.data.embedded.rows import RL_SCHEMA, SFT_SCHEMA, rl_row, sft_row, write_rows
from care_verl.data.embedded.sft_command import BATCH_ROWS, COLD_START_STEPS

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class EmbeddedPaths:
    """Where the files of one seed lie, all under `root`."""

    root: Path

    @property
    def model(self) -> Path:
        """Folder of the randomly initialised model."""
        return self.root / "model"

    @property
    def train(self) -> Path:
        """Rows for reinforcement learning."""
        return self.root / "train.parquet"

    @property
    def test(self) -> Path:
        """Rows of held-out charts."""
        return self.root / "test.parquet"

    @property
    def sft(self) -> Path:
        """Demonstrations for the cold start."""
        return self.root / "sft.parquet"


def prepare_embedded(
    out_dir: Path,
    seed: int,
    train_size: int,
    test_size: int,
    sft_size: int = COLD_START_STEPS * BATCH_ROWS,
    rates: NoiseRates | None = None,
) -> EmbeddedPaths:
    """Write the model and the parquet files of `seed` to `out_dir`, all of them or none.

    Files that are there already are kept when they were made with the same arguments; files made
    with others are an error and stay as they are. `rates` are those of the demonstrations.
    """
    rates = rates or NoiseRates()
    sizes = {"train_size": train_size, "test_size": test_size, "sft_size": sft_size}
    wanted = {"seed": seed, **sizes, "rates": asdict(rates)}
    if out_dir.exists():
        _require_same(out_dir, wanted)
        return EmbeddedPaths(out_dir)
    with all_or_nothing(out_dir) as unfinished:
        _write_files(EmbeddedPaths(unfinished), seed, sizes, rates)
        _save_model(unfinished / "model", seed)
        (unfinished / _MANIFEST).write_text(json.dumps(wanted, indent=2) + "\n")
    return EmbeddedPaths(out_dir)


def _write_files(paths: EmbeddedPaths, seed: int, sizes: dict[str, int], rates: NoiseRates) -> None:
    train = (rl_row(example(seed, "train", index)) for index in range(sizes["train_size"]))
    test = (rl_row(example(seed, "test", index)) for index in range(sizes["test_size"]))
    sft = (sft_row(example(seed, "sft", index), rates) for index in range(sizes["sft_size"]))
    write_rows(train, paths.train, RL_SCHEMA)
    write_rows(test, paths.test, RL_SCHEMA)
    write_rows(sft, paths.sft, SFT_SCHEMA)


def _save_model(folder: Path, seed: int) -> None:
    # Before transformers' processors are imported: they import torchvision, which needs its help
    # beside a CPU build of torch.
    platform.install()
    from care_verl.data.embedded.model import save_model

    save_model(folder, seed)


def _require_same(out_dir: Path, wanted: dict[str, Any]) -> None:
    manifest = out_dir / _MANIFEST
    if not manifest.exists():
        raise FileExistsError(
            f"{out_dir} exists and is not the embedded task's: it has no {_MANIFEST}. "
            "Name another folder, or remove this one."
        )
    found = json.loads(manifest.read_text())
    if found != wanted:
        raise FileExistsError(
            f"{out_dir} was made with {found}; asked for was {wanted}. "
            "Name another folder, or remove this one."
        )
