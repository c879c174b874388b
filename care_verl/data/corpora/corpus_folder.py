"""The folder of a prepared corpus: the rows that pass, the account, what it was made with.

It appears with one rename, whole. Until then what was made of the rows is in a cache beside it
(`cached_rows`), which the same command goes on with after an interruption.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import Progress

from care_verl.common.files import all_or_nothing, write_text
from care_verl.data.corpora.cached_rows import cache_folder, mapped, tables, write_parquet
from care_verl.data.corpora.report import Report
from care_verl.data.corpora.row_outcome import Dropped, Unit

MANIFEST = "manifest.json"
# Beside the columns of the rows, which are null where a row was dropped.
_FATE = pa.schema(
    {
        "dropped": pa.struct(
            {"source_id": pa.string(), "reason": pa.string(), "detail": pa.string()}
        ),
        "notes": pa.list_(pa.string()),
    }
)


@dataclass(frozen=True)
class Job:
    """A corpus to be written.

    out: the folder to be made. name: its parquet file is `<name>.parquet`.
    arguments: all that decides what is written, as JSON values: a folder made with others is not
        replaced.
    stages, details: for the report, see `Report`.
    versions: versions of the packages that decide what is written.
    """

    out: Path
    name: str
    schema: pa.Schema
    arguments: Mapping[str, Any]
    stages: Mapping[str, int]
    details: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def write_corpus(
    job: Job,
    load: Callable[[Path], datasets.Dataset],
    places: Sequence[int],
    unit: Callable[[int, Mapping[str, Any]], Unit],
    console: Console,
) -> Report:
    """Write `<name>.parquet`, report.json, report.md, dropped.jsonl and manifest.json to `job.out`.

    load: gives all rows of the source; its argument is a folder for a cache.
    places: of the rows to be looked at. unit: what becomes of a row, given its place and its cells.

    Shows a bar of rows with the time left, then the account. A folder that an earlier call finished
    with the same arguments is kept.

    Raises:
        FileExistsError: the folder was made with other arguments, or by another program.
    """
    cache = cache_folder(job.out.absolute())
    if job.out.exists():
        report = _finished(job)
        last = f"{job.out} was finished before with the same arguments and is kept."
    else:
        report = _written(job, load(cache), places, unit, console)
        last = f"Written: {job.out / f'{job.name}.parquet'}"
    shutil.rmtree(cache, ignore_errors=True)
    console.print(report.table())
    console.print(last)
    return report


def _finished(job: Job) -> Report:
    manifest = job.out / MANIFEST
    if not manifest.exists():
        raise FileExistsError(
            f"{job.out} exists and is no prepared corpus: it has no {MANIFEST}. "
            "Name another folder, or remove this one."
        )
    found, wanted = json.loads(manifest.read_text())["arguments"], dict(job.arguments)
    missing = "(nothing)"
    differing = [
        f"{key} = {found.get(key, missing)!r} there, {wanted.get(key, missing)!r} now"
        for key in sorted(set(found) | set(wanted))
        if found.get(key, missing) != wanted.get(key, missing)
    ]
    if differing:
        raise FileExistsError(
            f"{job.out} was made with other arguments: {'; '.join(differing)}. "
            f"Ask for the same ones, name another folder, or remove {job.out}."
        )
    return Report.from_json((job.out / "report.json").read_text(encoding="utf-8"))


def _written(
    job: Job,
    rows: datasets.Dataset,
    places: Sequence[int],
    unit: Callable[[int, Mapping[str, Any]], Unit],
    console: Console,
) -> Report:
    made_with = {"arguments": dict(job.arguments), "versions": dict(job.versions)}
    schema = pa.schema([*job.schema, *_FATE])

    def columns(place: int, cells: Mapping[str, Any]) -> dict[str, Any]:
        return _columns(unit(place, cells), schema)

    shards = mapped(rows, places, columns, schema, made_with)
    dropped: list[dict[str, str]] = []
    notes = Counter[str]()
    with all_or_nothing(job.out.absolute()) as folder, Progress(console=console) as progress:
        task = progress.add_task(f"Preparing {job.out.name}", total=len(places))

        def kept() -> Iterator[pa.Table]:
            for shard in shards:
                for table in tables(shard, range(len(shard))):
                    dropped.extend(filter(None, table["dropped"].to_pylist()))
                    notes.update(note for own in table["notes"].to_pylist() for note in own)
                    yield table.filter(pc.is_null(table["dropped"]))
                progress.advance(task, len(shard))

        number = write_parquet(folder / f"{job.name}.parquet", kept(), job.schema)
        report = Report(
            name=f"{job.out.name}: {job.name}",
            stages=dict(job.stages),
            dropped=dict(sorted(Counter(entry["reason"] for entry in dropped).items())),
            kept=number,
            notes=dict(sorted(notes.items())),
            details=dict(job.details),
            versions=dict(job.versions),
        )
        lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in dropped)
        write_text(folder / "dropped.jsonl", "".join(lines))
        write_text(folder / "report.json", report.to_json())
        write_text(folder / "report.md", report.to_markdown())
        write_text(folder / MANIFEST, json.dumps(made_with, indent=2, ensure_ascii=False) + "\n")
    return report


def _columns(unit: Unit, schema: pa.Schema) -> dict[str, Any]:
    columns: dict[str, Any] = dict.fromkeys(schema.names)
    if isinstance(unit, Dropped):
        return {**columns, "dropped": asdict(unit), "notes": []}
    return {**columns, **unit.row, "notes": list(unit.notes)}
