"""One training set of several prepared corpora: without duplicates, without evaluation rows.

Two passes. The first reads every row once and keeps its fingerprints, some hundred bytes a row; on
them it is decided what is dropped, what is held out and where each row goes. The second writes the
rows that stay in their order. The same inputs and settings give the same rows in the same order.
"""

import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import datasets
import pyarrow as pa
from rich.console import Console
from rich.progress import Progress

from care_verl.common.files import all_or_nothing, write_text
from care_verl.data.corpora.cached_rows import cache_folder, parquet_rows, tables, write_parquet
from care_verl.data.corpora.holdout import held_out
from care_verl.data.corpora.leakage import (
    EvaluationColumns,
    EvaluationFingerprint,
    Match,
    evaluation_fingerprints,
    find_matches,
)
from care_verl.data.corpora.mixture_account import mixture_report
from care_verl.data.corpora.mixture_report import MixtureReport
from care_verl.data.corpora.near_duplicates import Duplicates, find_duplicates
from care_verl.data.corpora.row_fingerprints import (
    TRAIN_FILE,
    RowFingerprint,
    row_fingerprints,
    train_file,
)
from care_verl.data.corpora.schema import RL_SCHEMA

TEST_FILE = "test.parquet"
# One bit in eight. Among 400 drawings of random triangles no two differ by less than 66 bits, among
# 400 random bar charts by less than 44; a copy as JPEG of quality 50, or at half or 1.7 times the
# size, differs by at most 28.
NEAR_DISTANCE = 32
_LARGEST_DISTANCE = 64


@dataclass(frozen=True)
class MixtureSettings:
    """How rows are compared, how many are held out, and in which order they come.

    near_distance: 0 to 64 of the 256 bits of an image's hash; unrelated images differ by about 128.
    holdout: rows for test.parquet, 0 or more. seed: of the order and of the choice of these rows.
    """

    near_distance: int = NEAR_DISTANCE
    holdout: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.near_distance <= _LARGEST_DISTANCE:
            raise ValueError(
                f"near_distance = {self.near_distance}; expected 0 to {_LARGEST_DISTANCE} bits"
            )
        if self.holdout < 0:
            raise ValueError(f"holdout = {self.holdout}; expected 0 or more rows")


@dataclass(frozen=True)
class _Split:
    """What becomes of each row: places in the list of all rows, in the order to be written."""

    train: list[int]
    test: list[int]


def prepare_mixture(
    folders: Sequence[Path],
    out: Path,
    settings: MixtureSettings,
    against: Sequence[Path] = (),
    columns: EvaluationColumns | None = None,
    console: Console | None = None,
) -> MixtureReport:
    """Write train.parquet, test.parquet (when rows are held out), the report and dropped.jsonl.

    folders: prepared corpora; of duplicates the one in the folder named first stays.
    against: evaluation files whose rows are kept out, see `leakage`.

    In the files written, `extra_info.index` counts from 0 and `extra_info.split` names the file;
    all else is as in the sources. `out` is whole or absent; interrupted and called again, the
    comparing goes on where it stopped (`row_fingerprints`). Progress is shown on the console, if
    any.

    Raises FileExistsError when `out` exists, and what `train_file`, `row_fingerprints`,
    `evaluation_fingerprints` and `held_out` raise.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists. Name another folder, or remove this one.")
    files = [train_file(folder) for folder in folders]
    cache = cache_folder(out.absolute())
    corpora = [parquet_rows(file, RL_SCHEMA.names, cache) for file in files]
    every = datasets.concatenate_datasets(corpora)
    with Progress(console=console, disable=console is None) as progress:
        rows = _read_prints(files, corpora, progress)
        duplicates = find_duplicates(rows, settings.near_distance)
        columns = columns or EvaluationColumns()
        evaluation = {path: list(evaluation_fingerprints(path, columns)) for path in against}
        matches = _matches(rows, evaluation, duplicates, settings)
        split = _split(rows, duplicates, matches, settings)
        report = mixture_report(rows, duplicates, matches, split.test, evaluation, asdict(settings))
        with all_or_nothing(out) as unfinished:
            _write_rows(every, split.train, unfinished / TRAIN_FILE, progress)
            if split.test:
                _write_rows(every, split.test, unfinished / TEST_FILE, progress)
            _write_account(unfinished, report)
    shutil.rmtree(cache)
    return report


def _read_prints(
    files: Sequence[Path], corpora: Sequence[datasets.Dataset], progress: Progress
) -> list[RowFingerprint]:
    rows = (
        row for file, own in zip(files, corpora, strict=True) for row in row_fingerprints(file, own)
    )
    total = sum(len(own) for own in corpora)
    return list(progress.track(rows, total=total, description="Comparing rows"))


def _matches(
    rows: Sequence[RowFingerprint],
    evaluation: Mapping[Path, Sequence[EvaluationFingerprint]],
    duplicates: Duplicates,
    settings: MixtureSettings,
) -> list[Match]:
    """Matches of the rows that are no duplicates."""
    entries = [entry for own in evaluation.values() for entry in own]
    found = find_matches(rows, entries, settings.near_distance)
    return [match for match in found if match.row not in duplicates.dropped]


def _split(
    rows: Sequence[RowFingerprint],
    duplicates: Duplicates,
    matches: Sequence[Match],
    settings: MixtureSettings,
) -> _Split:
    leaked = {match.row for match in matches if match.asked}
    kept = [n for n in range(len(rows)) if n not in duplicates.dropped and n not in leaked]
    test = held_out(rows, kept, settings.holdout, settings.near_distance, settings.seed)
    train = sorted(set(kept) - set(test))
    for part, name in ((train, "train"), (test, "test")):
        random.Random(f"{name}/{settings.seed}").shuffle(part)
    return _Split(train, test)


def _write_rows(
    rows: datasets.Dataset, order: Sequence[int], path: Path, progress: Progress
) -> None:
    task = progress.add_task(f"Writing {path.name}", total=len(order))

    def renumbered() -> Iterator[pa.Table]:
        first = 0
        for table in tables(rows, order):
            yield _renumbered(table, range(first, first + len(table)), path.stem)
            first += len(table)
            progress.update(task, completed=first)

    write_parquet(path, renumbered(), RL_SCHEMA)


def _renumbered(table: pa.Table, numbers: range, split: str) -> pa.Table:
    """The table with these numbers as `index` and the file's name as `split`."""
    info = table["extra_info"].combine_chunks()
    new = {"index": pa.array(numbers), "split": pa.array([split] * len(table))}
    columns = [new.get(field.name, info.field(field.name)) for field in info.type]
    extra_info = pa.StructArray.from_arrays(columns, fields=list(info.type))
    return table.set_column(table.schema.get_field_index("extra_info"), "extra_info", extra_info)


def _write_account(folder: Path, report: MixtureReport) -> None:
    write_text(folder / "report.json", report.to_json())
    write_text(folder / "report.md", report.to_markdown())
    lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in report.dropped)
    write_text(folder / "dropped.jsonl", "".join(lines))
