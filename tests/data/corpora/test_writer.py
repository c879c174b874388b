"""The writer: interrupted anywhere and started again, it writes the same bytes."""

import errno
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from care_verl.data.corpora.parts import ROW_GROUP_ROWS
from care_verl.data.corpora.units import Dropped, Kept, Unit
from care_verl.data.corpora.writer import DiskFullError, Job, write_corpus

SCHEMA = pa.schema({"number": pa.int64(), "bytes": pa.binary()})
FILES = {"train.parquet", "dropped.jsonl", "report.json", "report.md", "manifest.json"}


def job(out: Path, total: int = 20, part_rows: int = 4, **changes: Any) -> Job:
    values = {"arguments": {"seed": 0}, "stages": {"source rows": total}, "versions": {"p": "1"}}
    return Job(out, "train", SCHEMA, total, part_rows=part_rows, **(values | changes))


def unit(number: int) -> Unit:
    if number % 3 == 1:
        return Dropped(f"row {number}", f"reason {number % 2}", "détail")
    return Kept(
        {"number": number, "bytes": bytes([number % 256]) * 50}, ("even",) * (number % 2 == 0)
    )


class Rows:
    """Units of `total` rows; `break_at` raises in place of giving that row."""

    def __init__(self, total: int, break_at: int | None = None, error: Any = KeyboardInterrupt):
        self.total, self.break_at, self.error = total, break_at, error
        self.starts: list[int] = []

    def __call__(self, start: int) -> Iterator[Unit]:
        self.starts.append(start)
        for number in range(start, self.total):
            if number == self.break_at:
                raise self.error
            yield unit(number)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(job: Job, rows: Rows) -> list[int]:
    """Writes, and returns the progress that was told."""
    told: list[int] = []
    write_corpus(job, rows, told.append)
    return told


def test_rows_kept_and_dropped_are_written_and_counted(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    told = write(job(out), Rows(20))
    assert told == [*range(21), 20]
    assert set(contents(out)) == FILES
    kept = [n for n in range(20) if n % 3 != 1]
    assert pq.read_table(out / "train.parquet")["number"].to_pylist() == kept
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text("utf-8").splitlines()]
    assert [entry["source_id"] for entry in dropped] == [f"row {n}" for n in range(1, 20, 3)]
    assert {entry["detail"] for entry in dropped} == {"détail"}
    report = json.loads((out / "report.json").read_text())
    assert report["stages"] == {"source rows": 20}
    assert report["dropped"] == {"reason 0": 3, "reason 1": 4}
    assert report["kept"] == len(kept) == 20 - 3 - 4
    assert report["notes"] == {"even": len([n for n in kept if n % 2 == 0])}
    text = (out / "report.md").read_text()
    assert "| dropped: reason 1 | 4 |" in text
    assert "| kept | 13 |" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus"]


@settings(max_examples=20)
@given(breaks=st.lists(st.integers(0, 19), max_size=4), part_rows=st.integers(1, 9))
def test_interruptions_leave_no_trace(
    breaks: list[int], part_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("interrupted")
    write(job(folder / "whole" / "corpus", part_rows=part_rows), Rows(20))
    out = folder / "broken" / "corpus"
    done = 0
    for place in breaks:
        rows = Rows(20, break_at=place)
        if place < done:
            continue
        with pytest.raises(KeyboardInterrupt):
            write(job(out, part_rows=part_rows), rows)
        assert not out.exists()
        assert rows.starts == [done]
        done = place // part_rows * part_rows
    write(job(out, part_rows=part_rows), Rows(20))
    assert contents(out) == contents(folder / "whole" / "corpus")


def test_an_interruption_while_the_parts_are_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "corpus"
    with monkeypatch.context() as patch:
        patch.setattr(
            "care_verl.data.corpora.writer._report",
            lambda job: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            write(job(out), Rows(20))
    rows = Rows(20)
    assert write(job(out), rows) == [20, 20]
    assert rows.starts == []
    write(job(tmp_path / "whole" / "corpus"), Rows(20))
    assert contents(out) == contents(tmp_path / "whole" / "corpus")


def test_a_part_that_is_not_renamed_yet_is_written_again(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    with pytest.raises(KeyboardInterrupt):
        write(job(out), Rows(20, break_at=10))
    parts = tmp_path / ".corpus.unfinished" / "parts"
    (parts / "part-000001.json").unlink()
    (parts / "part-000001.parquet").write_bytes(b"half a file")
    rows = Rows(20)
    write(job(out), rows)
    assert rows.starts == [4]
    assert pq.read_table(out / "train.parquet").num_rows == 13


def test_unfinished_work_of_other_arguments_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    with pytest.raises(KeyboardInterrupt):
        write(job(out), Rows(20, break_at=10))
    changed: list[tuple[dict[str, Any], str]] = [
        ({"arguments": {"seed": 1}}, "seed = 0 there, 1 now"),
        ({"arguments": {"seed": 0, "new": "x"}}, "new = '(nothing)' there, 'x' now"),
        ({"versions": {"p": "2"}}, "p = '1' there, '2' now"),
        ({"total": 21}, "rows = 20 there, 21 now"),
        ({"part_rows": 5}, "rows of a part = 4 there, 5 now"),
    ]
    for changes, words in changed:
        with pytest.raises(FileExistsError, match=re.escape(words)) as refusal:
            write(job(out, **changes), Rows(20))
        assert f"remove {tmp_path}/.corpus.unfinished" in str(refusal.value)
    write(job(out), Rows(20))


def test_a_finished_corpus_is_kept_and_never_replaced(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    first = write_corpus(job(out), Rows(20), lambda done: None)
    before = (out / "train.parquet").stat().st_mtime_ns
    rows = Rows(20)
    # Another version of a library is no reason to refuse what is there and whole.
    assert write_corpus(job(out, versions={"p": "2"}), rows, lambda done: None) == first
    assert rows.starts == []
    assert (out / "train.parquet").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="seed = 0 there, 1 now"):
        write(job(out, arguments={"seed": 1}), Rows(20))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"no manifest\.json"):
        write(job(tmp_path), Rows(20))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["parts/part-000002.parquet", "parts/part-000002.json"])
def test_a_full_disk_keeps_what_was_done(tmp_path: Path, name: str) -> None:
    out = tmp_path / "corpus"
    with pytest.raises(KeyboardInterrupt):
        write(job(out), Rows(20, break_at=9))
    full = tmp_path / ".corpus.unfinished" / f"{name}.partial"
    full.unlink(missing_ok=True)
    # Every write to this device fails as on a full disk.
    full.symlink_to("/dev/full")
    with pytest.raises(DiskFullError) as refusal:
        write(job(out), Rows(20))
    assert refusal.value.errno == errno.ENOSPC
    kept = sum(path.stat().st_size for path in full.parent.glob("part-00000[01].*"))
    words = str(refusal.value)
    assert str(tmp_path) in words
    assert "run the same command again" in words
    used = int(words.split("takes ")[1].split(" bytes")[0].replace(",", ""))
    assert used >= kept > 0
    full.unlink()
    rows = Rows(20)
    write(job(out), rows)
    assert rows.starts == [8]
    write(job(tmp_path / "whole" / "corpus"), Rows(20))
    assert contents(out) == contents(tmp_path / "whole" / "corpus")


def test_other_errors_of_the_system_are_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        write(
            job(tmp_path / "corpus"),
            Rows(20, break_at=3, error=PermissionError(errno.EACCES, "no")),
        )


@pytest.mark.parametrize(
    ("given_rows", "words"), [(18, "gave 18 rows, 20 were"), (22, "more than")]
)
def test_a_source_that_gives_another_number_of_rows(
    tmp_path: Path, given_rows: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        write(job(tmp_path / "corpus"), Rows(given_rows))
    assert not (tmp_path / "corpus").exists()


def test_row_groups_are_small(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    write(job(out, total=600, part_rows=256), Rows(600))
    with pq.ParquetFile(out / "train.parquet") as file:
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert max(sizes) == ROW_GROUP_ROWS
    assert sum(sizes) == 400


def test_a_corpus_of_which_nothing_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    write_corpus(job(out, total=1), lambda start: iter([Dropped("a", "b")]), lambda done: None)
    assert pq.read_table(out / "train.parquet").num_rows == 0


def test_a_job_refuses_parts_of_no_rows(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="part_rows = 0"):
        job(tmp_path, part_rows=0)
