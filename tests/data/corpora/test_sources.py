"""What is read from local copies of the three corpora, and what is said of broken ones."""

import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.data.corpora.chartqa import open_chartqa
from care_verl.data.corpora.geometry3k import open_geometry3k
from care_verl.data.corpora.row_outcome import Dropped
from care_verl.data.corpora.source import ImageUnavailableError, RawRow, Source, SourceError
from care_verl.data.corpora.virl39k import open_virl39k

from .hub_copies import (
    GEOMETRY3K,
    chartqa_copy,
    chartqa_row,
    geometry3k_copy,
    geometry3k_row,
    picture,
    virl39k_copy,
    virl39k_row,
)


def read(source: Source) -> list[RawRow | Dropped]:
    with tempfile.TemporaryDirectory() as cache:
        table = source.load(Path(cache))
        return [source.row(index, table[index]) for index in source.indices]


def rows(source: Source) -> list[RawRow]:
    return [row for row in read(source) if isinstance(row, RawRow)]


def test_chartqa_gives_the_questions_of_people(tmp_path: Path) -> None:
    folder = chartqa_copy(tmp_path / "hub", [chartqa_row(n) for n in range(25)])
    source = open_chartqa(str(folder), "train", "human")
    assert source.stages == {"source rows": 25, "after subset human": 13}
    found = rows(source)
    assert [row.index for row in found] == list(range(0, 25, 2))
    assert [row.answer for row in found] == [str(n) for n in range(0, 25, 2)]
    assert [row.images[0]() for row in found] == [picture(n) for n in range(0, 25, 2)]
    assert found[-1].source_id == "train-24"
    assert found[-1].question == "How tall is bar 24?"
    assert {row.category for row in found} == {"human"}
    assert len(rows(open_chartqa(str(folder), "train", "machine"))) == 12
    assert len(rows(open_chartqa(str(folder), "train", "all"))) == 25


def test_chartqa_takes_the_first_label_and_says_so(tmp_path: Path) -> None:
    labels: list[Any] = [["1", "2"], ["3"], [], [""], None]
    made = [chartqa_row(0, label=label) for label in labels]
    folder = chartqa_copy(tmp_path / "hub", [*made, chartqa_row(0, query="")], shards=1)
    found = read(open_chartqa(str(folder), "train", "all"))
    assert [row.reason for row in found if isinstance(row, Dropped)] == [
        *["no answer"] * 3,
        "no question",
    ]
    first, second = (row for row in found if isinstance(row, RawRow))
    assert (first.answer, first.notes) == ("1", ("first of several labels",))
    assert (second.answer, second.notes) == ("3", ())


def test_geometry3k_keeps_the_value_as_gold_and_the_options_beside_it(tmp_path: Path) -> None:
    made = [geometry3k_row(3), geometry3k_row(4, ground_truth="A"), geometry3k_row(5, choices=None)]
    source = open_geometry3k(str(geometry3k_copy(tmp_path / "hub", made)), "train")
    right, differing, without = rows(source)
    assert right.answer == "3 \\sqrt { 3 }"
    assert right.choices == ("1", "3 \\sqrt {3}", "3.5", "4.5")
    assert right.source_id == "train-3"
    assert differing.choices is None
    assert differing.notes == ("letter and answer differ: options left out",)
    assert (without.choices, without.notes) == (None, ())
    assert source.details == {}


def test_geometry3k_without_options_is_read_and_said_to_lack_them(tmp_path: Path) -> None:
    plain = pa.schema([GEOMETRY3K.field(name) for name in ("images", "problem", "answer")])
    folder = geometry3k_copy(tmp_path / "hub", [geometry3k_row(3)], schema=plain)
    source = open_geometry3k(str(folder), "train")
    assert source.details == {"columns that this copy lacks": "id, choices, ground_truth"}
    (row,) = rows(source)
    assert (row.source_id, row.choices) == ("train-0", None)


def test_virl39k_reads_images_from_the_zip_and_from_a_folder(tmp_path: Path) -> None:
    several = virl39k_row(9, image=["images/7.png", "images/8.png"], question="How alike are they?")
    made = [virl39k_row(1), several]
    folder = virl39k_copy(tmp_path / "hub", made)
    zipped = rows(open_virl39k(str(folder)))
    assert [row.source_id for row in zipped] == ["q1", "q9"]
    assert [row.answer for row in zipped] == ["1", "9"]
    data = [[load() for load in row.images] for row in zipped]
    assert data == [[picture(0)], [picture(1), picture(2)]]
    with zipfile.ZipFile(folder / "images.zip") as archive:
        archive.extractall(folder)
    (folder / "images.zip").unlink()
    unpacked = rows(open_virl39k(str(folder)))
    assert [[load() for load in row.images] for row in unpacked] == data


@pytest.mark.parametrize("unpack", [False, True])
def test_an_image_that_is_not_there(tmp_path: Path, unpack: bool) -> None:
    made = [virl39k_row(1), virl39k_row(2, image=["../secret.png"])]
    folder = virl39k_copy(tmp_path / "hub", made, images={"images/2.png": picture(2)})
    (tmp_path / "secret.png").write_bytes(picture(3))
    if unpack:
        with zipfile.ZipFile(folder / "images.zip") as archive:
            archive.extractall(folder)
        (folder / "images.zip").unlink()
    for row in rows(open_virl39k(str(folder))):
        with pytest.raises(ImageUnavailableError) as refusal:
            row.images[0]()
        assert refusal.value.reason == "missing image"


def test_an_image_damaged_inside_the_zip(tmp_path: Path) -> None:
    folder = virl39k_copy(tmp_path / "hub", [virl39k_row(1)])
    archive = folder / "images.zip"
    data = bytearray(archive.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 0xFF
    archive.write_bytes(bytes(data))
    (row,) = rows(open_virl39k(str(folder)))
    with pytest.raises(ImageUnavailableError, match="CRC") as refusal:
        row.images[0]()
    assert refusal.value.reason == "unreadable image"


def test_a_zip_cut_short(tmp_path: Path) -> None:
    folder = virl39k_copy(tmp_path / "hub", [virl39k_row(n) for n in range(20)])
    archive = folder / "images.zip"
    archive.write_bytes(archive.read_bytes()[:-500])
    with pytest.raises(SourceError, match=r"images\.zip .* cut short: fetch the file again"):
        open_virl39k(str(folder))


@pytest.mark.parametrize(
    ("missing", "words"),
    [("images.zip", "neither images.zip nor"), ("39Krelease.parquet", "no file 39K")],
)
def test_a_copy_that_lacks_a_file(tmp_path: Path, missing: str, words: str) -> None:
    folder = virl39k_copy(tmp_path / "hub", [virl39k_row(1)])
    (folder / missing).unlink()
    with pytest.raises(SourceError, match=words):
        open_virl39k(str(folder))


def rename(path: Path, old: str, new: str) -> None:
    table = pq.read_table(path)
    names = [new if name == old else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), path)


def test_a_renamed_column(tmp_path: Path) -> None:
    chartqa = chartqa_copy(tmp_path / "chartqa", [chartqa_row(1)], shards=1)
    rename(next((chartqa / "data").iterdir()), "label", "labels")
    with pytest.raises(SourceError, match=r"column label missing; found .*labels.*; expected im"):
        open_chartqa(str(chartqa), "train", "human")
    geometry = geometry3k_copy(tmp_path / "geometry", [geometry3k_row(1)])
    rename(geometry / "data/train-00000-of-00001.parquet", "problem", "question")
    with pytest.raises(SourceError, match=r"train-00000-of-00001\.parquet: column problem miss"):
        open_geometry3k(str(geometry), "train")
    virl = virl39k_copy(tmp_path / "virl", [virl39k_row(1)])
    rename(virl / "39Krelease.parquet", "qid", "id")
    with pytest.raises(SourceError, match=r"39Krelease\.parquet: column qid missing"):
        open_virl39k(str(virl))


def test_a_parquet_file_cut_short(tmp_path: Path) -> None:
    folder = geometry3k_copy(tmp_path / "hub", [geometry3k_row(1)])
    path = folder / "data/train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"00001\.parquet: damaged .* Fetch the file again"):
        open_geometry3k(str(folder), "train")


def test_a_parquet_file_damaged_in_its_middle(tmp_path: Path) -> None:
    folder = geometry3k_copy(tmp_path / "hub", [geometry3k_row(n) for n in range(40)])
    path = folder / "data/train-00000-of-00001.parquet"
    data = bytearray(path.read_bytes())
    data[4:2000] = bytes(1996)
    path.write_bytes(bytes(data))
    with pytest.raises(SourceError, match="damaged"):
        read(open_geometry3k(str(folder), "train"))


def test_a_missing_shard_and_a_missing_split(tmp_path: Path) -> None:
    folder = chartqa_copy(tmp_path / "hub", [chartqa_row(n) for n in range(9)], shards=3)
    with pytest.raises(SourceError, match="no file val-.*splits found: train"):
        open_chartqa(str(folder), "val", "human")
    next((folder / "data").glob("train-00001-*")).unlink()
    with pytest.raises(SourceError, match="expected numbers 00000 to 00002"):
        open_chartqa(str(folder), "train", "human")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder, and no hub id"):
        open_virl39k(str(tmp_path / "nothing"))


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fail(repository: str, **options: object) -> str:
        assert options == {"repo_type": "dataset", "allow_patterns": ["data/train-*.parquet"]}
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(SourceError) as refusal:
        open_chartqa("HuggingFaceM4/ChartQA", "train", "human")
    for words in ("HuggingFaceM4/ChartQA", "no network", "data/train-*.parquet", "folder's path"):
        assert words in str(refusal.value)
