"""Where a benchmark's files lie: in a folder of the user's, or fetched from the hub."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from care_verl.common.errors import CareVerlError
from care_verl.common.hub import HubError, fetched
from care_verl.tools.evaluation.benchmarks import Benchmark

FOLDER = "CARE_VERL_BENCHMARKS"
"""Environment variable: a folder with one folder of files for each benchmark, by its name."""

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")


class DataError(CareVerlError):
    """A benchmark's files are not here and cannot be fetched, or are not what they should be."""


def located(benchmark: Benchmark) -> list[Path]:
    """The parquet files of the benchmark's split, in order; fetched from the hub if need be.

    They lie in the folder that CARE_VERL_BENCHMARKS names, under the benchmark's name, either as
    the hub arranges them or without its folders; or in the hub's cache.

    Raises DataError that says which files to place where; also for a split that lacks a file.
    """
    folder = _own_folder(benchmark)
    files = _matching(folder, benchmark) if folder is not None else []
    if not files:
        files = _matching(_fetched(benchmark), benchmark)
    if not files:
        wanted = ", ".join(benchmark.files)
        raise DataError(f"{benchmark.dataset} holds no {wanted}. {_advice(benchmark)}")
    _require_all_shards(files, benchmark)
    return files


def load(benchmark: Benchmark) -> Any:
    """The split as a `datasets.Dataset`. Raises DataError, also when a column is missing."""
    from datasets import load_dataset

    files = located(benchmark)
    split = benchmark.split
    table = load_dataset("parquet", data_files={split: [str(f) for f in files]}, split=split)
    missing = set(benchmark.columns) - set(table.column_names)
    if missing:
        raise DataError(
            f"{files[0]} has columns {', '.join(table.column_names)}; expected also "
            f"{', '.join(sorted(missing))}. {_advice(benchmark)}"
        )
    if not len(table):
        raise DataError(f"{files[0]} has no rows. {_advice(benchmark)}")
    return table


def _own_folder(benchmark: Benchmark) -> Path | None:
    named = os.environ.get(FOLDER)
    return Path(named).expanduser() / benchmark.name if named else None


def _matching(folder: Path, benchmark: Benchmark) -> list[Path]:
    in_place = [file for pattern in benchmark.files for file in folder.glob(pattern)]
    flat = [file for pattern in benchmark.files for file in folder.glob(Path(pattern).name)]
    return sorted(in_place or flat)


def _fetched(benchmark: Benchmark) -> Path:
    if benchmark.dataset is None:
        raise DataError(f"The {benchmark.name} benchmark's file is not there. {_advice(benchmark)}")
    try:
        return fetched(benchmark.dataset, benchmark.files)
    except HubError as error:
        raise DataError(f"{error}. {_advice(benchmark)}") from error


def _advice(benchmark: Benchmark) -> str:
    folder = _own_folder(benchmark)
    place = str(folder) if folder is not None else f"DIR/{benchmark.name}"
    setting = "" if folder is not None else f", and set {FOLDER}=DIR"
    files = ", ".join(benchmark.files)
    if benchmark.dataset is None:
        return f"Place {files} of the data folder that care-verl demo makes in {place}{setting}."
    included = " ".join(f"'{pattern}'" for pattern in benchmark.files)
    return (
        f"Place {files} of the data set {benchmark.dataset} in {place}{setting}. Where the hub can "
        f"be reached: hf download {benchmark.dataset} --repo-type dataset --include {included} "
        f"--local-dir {place}"
    )


def _require_all_shards(files: Sequence[Path], benchmark: Benchmark) -> None:
    marks = [match for file in files if (match := _SHARD.search(file.name))]
    wanted = {int(mark[2]) for mark in marks}
    found = [int(mark[1]) for mark in marks]
    if marks and (len(wanted) > 1 or sorted(found) != list(range(max(wanted)))):
        names = ", ".join(file.name for file in files)
        raise DataError(
            f"{files[0].parent} holds {names}; expected all of {max(wanted)} files, each once. "
            f"{_advice(benchmark)}"
        )
