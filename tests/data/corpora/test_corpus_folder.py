"""The folder of a prepared corpus: what stands in it, when it appears, when it is kept."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from care_verl.data.corpora import corpus_folder
from care_verl.data.corpora.cached_rows import generated_rows
from care_verl.data.corpora.corpus_folder import Job, write_corpus
from care_verl.data.corpora.report import Report
from care_verl.data.corpora.row_outcome import Dropped, Kept, Unit

SCHEMA = pa.schema({"number": pa.int64(), "bytes": pa.binary()})
FILES = {"train.parquet", "dropped.jsonl", "report.json", "report.md", "manifest.json"}


def job(out: Path, **changes: Any) -> Job:
    values = {"arguments": {"seed": 0}, "stages": {"source rows": 20}, "versions": {"p": "1"}}
    return Job(out, "train", SCHEMA, **(values | changes))


def unit(place: int, cells: Mapping[str, Any]) -> Unit:
    assert cells == {"number": place}
    if place % 3 == 1:
        return Dropped(f"row {place}", f"reason {place % 2}", "détail")
    return Kept({"number": place, "bytes": bytes([place]) * 50}, ("even",) * (place % 2 == 0))


def rows(cache: Path) -> datasets.Dataset:
    def numbers() -> Iterator[dict[str, int]]:
        yield from ({"number": number} for number in range(20))

    return generated_rows("numbers", numbers, pa.schema({"number": pa.int64()}), cache, "numbers")


def write(job: Job, unit: Callable[[int, Mapping[str, Any]], Unit] = unit) -> Report:
    return write_corpus(job, rows, range(20), unit, Console(file=io.StringIO()))


def refused(place: int, cells: Mapping[str, Any]) -> Unit:
    raise AssertionError("no row is to be looked at")


def test_rows_kept_and_dropped_are_written_and_counted(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    write(job(out))
    assert {path.name for path in out.iterdir()} == FILES
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
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_an_interruption_at_the_very_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing under the final name; the rows are not made again."""
    out = tmp_path / "corpus"

    def fail(self: Report) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Report, "to_markdown", fail)
        with pytest.raises(KeyboardInterrupt):
            write(job(out))
    assert not out.exists()
    write(job(out), refused)
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.parametrize("changes", [{"arguments": {"seed": 1}}, {"versions": {"p": "2"}}])
def test_unfinished_work_of_other_arguments_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    out = tmp_path / "corpus"

    def fail(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(corpus_folder, "write_text", fail)
        with pytest.raises(KeyboardInterrupt):
            write(job(out))
    with pytest.raises(AssertionError, match="no row"):
        write(job(out, **changes), refused)
    assert write(job(out, **changes)).kept == 13


def test_a_finished_corpus_is_kept_and_never_replaced(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    first = write(job(out))
    before = (out / "train.parquet").stat().st_mtime_ns
    # Another version of a library is no reason to refuse what is there and whole.
    assert write(job(out, versions={"p": "2"}), refused) == first
    assert (out / "train.parquet").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="seed = 0 there, 1 now"):
        write(job(out, arguments={"seed": 1}))
    with pytest.raises(FileExistsError, match=r"new = '\(nothing\)' there, 'x' now"):
        write(job(out, arguments={"seed": 0, "new": "x"}))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"no manifest\.json"):
        write(job(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_corpus_of_which_nothing_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    write(job(out), lambda place, cells: Dropped("a", "b"))
    assert pq.read_table(out / "train.parquet").num_rows == 0
