"""Writing a corpus so that an interruption costs at most one part.

The work goes on in `.<name>.unfinished` beside the target: parts of a fixed number of source rows
(`parts`), then one file made of them. The target's folder appears with one rename, whole. A run
that was interrupted goes on after its last whole part when it is started again with the same
arguments, and what it writes is the same to the byte as what an uninterrupted run writes: the
boundaries of the parts are those of the source's rows, whatever happened in between.
"""

import errno
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from care_verl.common.errors import CareVerlError
from care_verl.common.files import whole_file, write_text
from care_verl.data.corpora import parts
from care_verl.data.corpora.report import Report
from care_verl.data.corpora.units import Units

MANIFEST = "manifest.json"
PART_ROWS = 256


@dataclass(frozen=True)
class Job:
    """A corpus to be written.

    out: the folder to be made. name: its parquet file is `<name>.parquet`.
    total: rows of the source that come to the checks, which is the number of units.
    arguments: all that decides what is written, as JSON values: a folder made with others is
        neither gone on with nor replaced.
    stages, details: for the report, see `Report`.
    versions: versions of the packages that decide the bytes written.
    """

    out: Path
    name: str
    schema: pa.Schema
    total: int
    arguments: Mapping[str, Any]
    stages: Mapping[str, int]
    details: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    part_rows: int = PART_ROWS

    def __post_init__(self) -> None:
        if self.part_rows < 1 or self.total < 0:
            raise ValueError(
                f"part_rows = {self.part_rows}, total = {self.total}; expected >= 1 and >= 0"
            )
        object.__setattr__(self, "out", self.out.absolute())

    @property
    def unfinished(self) -> Path:
        """Where the work goes on until it is done."""
        return self.out.with_name(f".{self.out.name}.unfinished")

    @property
    def number_of_parts(self) -> int:
        """Parts of `part_rows` source rows; the last may be shorter."""
        return -(-self.total // self.part_rows)


class DiskFullError(CareVerlError, OSError):
    """The disk is full; what was done is kept."""


def write_corpus(
    job: Job, units: Units, moved: Callable[[int], None] = lambda done: None
) -> Report:
    """Write `<name>.parquet`, report.json, report.md, dropped.jsonl and manifest.json to `job.out`.

    units: called with the first position that is still to be done, gives one unit for each position
        from there to `job.total` - 1. It must give the same units at each call.
    moved: called with the number of source rows done so far.

    Returns the report. A folder that an earlier call finished with the same arguments is kept.

    Raises:
        FileExistsError: the target, or unfinished work, was made with other arguments.
        DiskFullError: no space left; the message says how many bytes the work takes so far.
        ValueError: `units` gave fewer or more units than `job.total`.
    """
    if job.out.exists():
        report = _finished(job)
    else:
        with _full_disk_explained(job):
            _start(job)
            _write_parts(job, units, moved)
            report = _put_together(job)
    shutil.rmtree(job.unfinished, ignore_errors=True)
    moved(job.total)
    return report


def _finished(job: Job) -> Report:
    manifest = job.out / MANIFEST
    if not manifest.exists():
        raise FileExistsError(
            f"{job.out} exists and is no prepared corpus: it has no {MANIFEST}. "
            "Name another folder, or remove this one."
        )
    _require_same(json.loads(manifest.read_text())["arguments"], dict(job.arguments), job.out)
    return Report.from_json((job.out / "report.json").read_text(encoding="utf-8"))


def _start(job: Job) -> None:
    """Open the unfinished folder, or check that the one that is there is this job's."""
    manifest = job.unfinished / MANIFEST
    if manifest.exists():
        found, wanted = json.loads(manifest.read_text()), json.loads(_manifest(job))
        for key in wanted:
            _require_same(found[key], wanted[key], job.unfinished)
        return
    shutil.rmtree(job.unfinished, ignore_errors=True)
    _parts(job).mkdir(parents=True)
    write_text(manifest, _manifest(job))


def _manifest(job: Job) -> str:
    content = {
        "arguments": dict(job.arguments),
        "versions": dict(job.versions),
        "layout": {"rows": job.total, "rows of a part": job.part_rows},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _require_same(found: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    missing = "(nothing)"
    differing = [
        f"{key} = {found.get(key, missing)!r} there, {wanted.get(key, missing)!r} now"
        for key in sorted(set(found) | set(wanted))
        if found.get(key, missing) != wanted.get(key, missing)
    ]
    if differing:
        raise FileExistsError(
            f"{folder} was made with other arguments: {'; '.join(differing)}. "
            f"Ask for the same ones, name another folder, or remove {folder}."
        )


def _write_parts(job: Job, units: Units, moved: Callable[[int], None]) -> None:
    whole = 0
    while whole < job.number_of_parts and parts.counts_path(_parts(job), whole).exists():
        whole += 1
    done = min(whole * job.part_rows, job.total)
    moved(done)
    if whole == job.number_of_parts:
        return
    coming = units(done)

    def one_more() -> None:
        nonlocal done
        done += 1
        moved(done)

    for number in range(whole, job.number_of_parts):
        rows = min(job.part_rows, job.total - done)
        first = done
        parts.write_part(_parts(job), number, islice(coming, rows), job.schema, one_more)
        if done - first != rows:
            parts.counts_path(_parts(job), number).unlink()
            raise ValueError(f"the source gave {done} rows, {job.total} were announced")
    if next(coming, None) is not None:
        raise ValueError(f"the source gave more than the {job.total} rows that were announced")


def _put_together(job: Job) -> Report:
    """Make the target's files of the parts, and give the folder its name."""
    whole = job.unfinished / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir()
    report = _report(job)
    with (
        whole_file(whole / f"{job.name}.parquet") as file,
        parts.parquet_writer(file, job.schema) as writer,
    ):
        for number in range(job.number_of_parts):
            for table in parts.row_groups(_parts(job), number):
                writer.write_table(table)
    with whole_file(whole / "dropped.jsonl") as file:
        for number in range(job.number_of_parts):
            for dropped in parts.read_counts(_parts(job), number).dropped:
                file.write((json.dumps(dropped, ensure_ascii=False) + "\n").encode())
    write_text(whole / "report.json", report.to_json())
    write_text(whole / "report.md", report.to_markdown())
    write_text(whole / MANIFEST, _manifest(job))
    whole.rename(job.out)
    return report


def _report(job: Job) -> Report:
    kept, notes, dropped = 0, Counter[str](), Counter[str]()
    for number in range(job.number_of_parts):
        counts = parts.read_counts(_parts(job), number)
        kept += counts.kept
        notes.update(counts.notes)
        dropped.update(entry["reason"] for entry in counts.dropped)
    return Report(
        name=f"{job.out.name}: {job.name}",
        stages=dict(job.stages),
        dropped=dict(sorted(dropped.items())),
        kept=kept,
        notes=dict(sorted(notes.items())),
        details=dict(job.details),
        versions=dict(job.versions),
    )


def _parts(job: Job) -> Path:
    return job.unfinished / "parts"


@contextmanager
def _full_disk_explained(job: Job) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        used = sum(path.stat().st_size for path in job.unfinished.rglob("*") if path.is_file())
        raise DiskFullError(
            error.errno,
            f"no space left in {job.out.parent}: the work takes {used:,} bytes so far and, at its "
            f"end, about twice the size of the result. What was done is kept in {job.unfinished}: "
            "make room and run the same command again",
        ) from error
