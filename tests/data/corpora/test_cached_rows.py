"""Rows in Arrow on disk: read as they are stored, made once, whole or absent."""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.data.corpora import cached_rows
from care_verl.data.corpora.cached_rows import (
    ROW_GROUP_ROWS,
    generated_rows,
    mapped,
    parquet_rows,
    streamed_rows,
    tables,
    write_parquet,
)
from care_verl.data.corpora.source import SourceError

from .hub_copies import picture

NUMBERS = pa.schema({"number": pa.int64()})


def numbers_file(path: Path, count: int) -> Path:
    pq.write_table(pa.table({"number": range(count)}), path)
    return path


def test_images_that_a_file_calls_images_are_left_encoded(tmp_path: Path) -> None:
    """As `datasets` writes the hub's files: left to itself, it decodes them on reading."""
    path = tmp_path / "hub.parquet"
    features = datasets.Features({"image": datasets.Image(), "query": datasets.Value("string")})
    cells = {"image": [{"bytes": picture(1), "path": None}], "query": ["x"]}
    datasets.Dataset.from_dict(cells, features).to_parquet(path)
    stored = datasets.Features.from_arrow_schema(pq.read_schema(path))
    assert isinstance(stored["image"], datasets.Image)
    for rows in (parquet_rows(path, ["image"], tmp_path / "cache"), streamed_rows(path, ["image"])):
        (row,) = rows
        assert row == {"image": {"bytes": picture(1), "path": None}}


def test_a_path_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "run[1] *"
    folder.mkdir()
    path = numbers_file(folder / "a[0-9].parquet", 3)
    numbers_file(folder / "a5.parquet", 9)
    assert len(parquet_rows(path, ["number"], tmp_path / "cache")) == 3
    assert len(list(streamed_rows(path, ["number"]))) == 3


def test_rows_are_made_once_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_rows, "SHARD_ROWS", 40)
    rows = parquet_rows(numbers_file(tmp_path / "a.parquet", 100), ["number"], tmp_path / "cache")
    made: list[int] = []

    def doubled(place: int, cells: dict[str, int]) -> dict[str, int]:
        made.append(place)
        return {"number": 2 * cells["number"]}

    def results(factor: int, places: Sequence[int] = range(100)) -> list[list[int]]:
        made.clear()
        shards = mapped(rows, places, doubled, NUMBERS, {"f": factor})
        return [list(shard["number"]) for shard in shards]

    expected = [list(range(0, 80, 2)), list(range(80, 160, 2)), list(range(160, 200, 2))]
    assert results(1) == expected
    assert sorted(made) == list(range(100))
    assert results(1) == expected
    assert made == []
    assert results(2) == expected
    assert len(made) == 100
    assert results(1, [5, 3]) == [[10, 6]]
    assert sorted(made) == [3, 5]


def test_an_error_of_a_row_is_that_of_its_function(tmp_path: Path) -> None:
    rows = parquet_rows(numbers_file(tmp_path / "a.parquet", 3), ["number"], tmp_path / "cache")

    def broken(place: int, cells: dict[str, int]) -> dict[str, int]:
        raise SourceError(f"row {place}")

    with pytest.raises(SourceError, match="row 0"):
        next(mapped(rows, range(3), broken, NUMBERS, 0))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SourceError("item 3: no image"), "item 3: no image"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (KeyError("x"), r"data.json: damaged \('x'\)"),
    ],
)
def test_the_librarys_error_tells_what_it_wraps(
    tmp_path: Path, error: Exception, words: str
) -> None:
    def rows() -> list[dict[str, int]]:
        raise error

    with pytest.raises((SourceError, OSError), match=words):
        generated_rows("data.json", rows, NUMBERS, tmp_path, "x")


def test_row_groups_are_small(tmp_path: Path) -> None:
    rows = parquet_rows(numbers_file(tmp_path / "a.parquet", 300), ["number"], tmp_path / "cache")
    assert write_parquet(tmp_path / "out.parquet", tables(rows, range(300)), NUMBERS) == 300
    with pq.ParquetFile(tmp_path / "out.parquet") as file:
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert sizes == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 300 - 2 * ROW_GROUP_ROWS]


def test_no_row_group_is_empty(tmp_path: Path) -> None:
    """`datasets` takes the first one's size for that of its batches."""
    counts = (0, 2, 0, 1)
    few = (pa.table({"number": pa.array(range(count), pa.int64())}) for count in counts)
    write_parquet(tmp_path / "out.parquet", few, NUMBERS)
    with pq.ParquetFile(tmp_path / "out.parquet") as file:
        assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [2, 1]


def test_a_file_that_is_not_written_to_its_end_has_no_name(tmp_path: Path) -> None:
    rows = parquet_rows(numbers_file(tmp_path / "a.parquet", 300), ["number"], tmp_path / "cache")
    coming = tables(rows, range(300))

    def interrupted() -> Iterator[pa.Table]:
        yield next(coming)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parquet(tmp_path / "out.parquet", interrupted(), NUMBERS)
    assert not (tmp_path / "out.parquet").exists()
