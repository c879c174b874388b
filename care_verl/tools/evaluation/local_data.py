"""Benchmark data that lie on this machine, arranged as our tasks look for them.

The tasks look for files of a benchmark in a folder of its name; `arranged` makes such folders out
of links to what the user has named.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from care_verl.tools.evaluation.benchmarks import BENCHMARKS

EMBEDDED = "embedded"


def arranged(sources: Sequence[Path], folder: Path) -> Path:
    """`folder`, made anew, with a link for each benchmark that `sources` bring.

    sources: a parquet file holds rows of the embedded task; a folder holds one folder for each
    benchmark, by its name. A later one wins.

    Raises ValueError for a source that is neither.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found: dict[str, Path] = {}
    for source in sources:
        found |= _brought(source.expanduser().resolve())
    for name, target in found.items():
        link = folder / name
        if target.is_file():
            link.mkdir()
            link /= BENCHMARKS[name].files[0]
        link.symlink_to(target)
    return folder


def questions(files: Sequence[Path]) -> int:
    """Rows in parquet files."""
    return sum(pq.read_metadata(file).num_rows for file in files)


def fingerprint(files: Sequence[Path]) -> dict[str, Any]:
    """Name, size and time of every file."""
    return {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def _brought(source: Path) -> dict[str, Path]:
    """By benchmark: a file with all its rows, or the folder of its files."""
    if source.is_file():
        return {EMBEDDED: source}
    if not source.is_dir():
        raise ValueError(f"{source}: no such file or folder")
    found = {name: source / name for name in BENCHMARKS if (source / name).is_dir()}
    if not found:
        raise ValueError(
            f"{source} holds no benchmark; expected folders named {', '.join(BENCHMARKS)}, or a "
            "parquet file with rows of the embedded task"
        )
    return found
