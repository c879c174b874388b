"""The files of `data.train_files` and `data.val_files`: there, readable, with the columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, ListConfig

from care_verl.data.corpora.source import SourceError
from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.parquet_rows import ParquetRows

CHECK = Check("data")
TRAIN, VALIDATION = "data.train_files", "data.val_files"
OUR_DATASET = "pkg://care_verl.training.dataset"


@dataclass(frozen=True)
class DataFile:
    """One file that could be opened."""

    path: Path
    rows: ParquetRows


def files_of(config: DictConfig, key: str) -> list[Path]:
    """The paths under a key, which holds one or a list. What verl would fetch first is left out."""
    value = config.data[key.partition(".")[2]]
    paths = value if isinstance(value, list | ListConfig) else [value]
    return [Path(str(path)).expanduser() for path in paths if "://" not in str(path)]


def check_dataset(config: DictConfig) -> list[Finding]:
    """A dataset class of the user's own reads its files in its own way."""
    own = config.data.custom_cls.path
    if own is None or str(own) == OUR_DATASET:
        return []
    return [
        CHECK.warning(
            f"data.custom_cls.path = {own} reads the files: they are looked at as verl's own "
            "dataset would read them",
            "look at a few of its rows yourself",
        )
    ]


def open_files(config: DictConfig, key: str) -> tuple[list[DataFile], list[Finding]]:
    """The files that can be looked into, and what is wrong with the others."""
    opened, problems = [], []
    for path in files_of(config, key):
        if not path.exists():
            problems.append(
                CHECK.error(f"{key}: {path} does not exist", f"set {key} to a file of yours")
            )
        elif path.suffix != ".parquet":
            problems.append(
                CHECK.warning(
                    f"{key}: {path} is no .parquet file; its rows are not looked at",
                    "`care-verl data prepare` writes parquet",
                )
            )
        else:
            try:
                opened.append(DataFile(path, _rows(path, config)))
            except SourceError as problem:
                problems.append(CHECK.error(f"{key}: {problem}", _renaming(config)))
    return opened, problems


def check_number(config: DictConfig, files: Iterable[DataFile]) -> list[Finding]:
    """Whether there is at least one whole step."""
    rows = sum(len(file.rows) for file in files)
    batch = int(config.data.train_batch_size)
    if rows >= batch:
        return [CHECK.ok(f"{TRAIN}: {rows:,} rows, {rows // batch:,} steps an epoch")]
    return [
        CHECK.error(
            f"{TRAIN}: {rows} rows are less than data.train_batch_size = {batch}: verl drops the "
            "last, incomplete step",
            f"lower data.train_batch_size to {max(rows, 1)} or less, or take more data",
        )
    ]


def _rows(path: Path, config: DictConfig) -> ParquetRows:
    data = config.data
    needed = [data.prompt_key, data.reward_fn_key, "reward_model"]
    return ParquetRows(path, needed, [data.image_key, "extra_info"])


def _renaming(config: DictConfig) -> str:
    return (
        f"name the columns with data.prompt_key (now {config.data.prompt_key}) and "
        f"data.reward_fn_key (now {config.data.reward_fn_key}), or prepare the file with "
        "`care-verl data prepare`"
    )
