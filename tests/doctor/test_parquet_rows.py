"""Rows of a file by their numbers, wherever its row groups and batches end."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from care_verl.data.corpora.source import SourceError
from care_verl.tools.doctor.parquet_rows import ParquetRows

COUNT = 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    table = pa.table({"number": range(COUNT), "text": [str(n) for n in range(COUNT)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=37)
    return tmp_path / "a.parquet"


@pytest.mark.parametrize(
    "wanted", [[], [0], [99], [36, 37], [15, 16, 17, 52, 53, 54], list(range(0, COUNT, 3))]
)
def test_rows_by_their_numbers(path: Path, wanted: list[int]) -> None:
    rows = ParquetRows(path, ["number"], ["text", "none"])
    assert len(rows) == COUNT
    assert list(rows.rows(wanted)) == [{"number": n, "text": str(n)} for n in wanted]


def test_a_file_damaged_in_its_middle(path: Path) -> None:
    rows = ParquetRows(path, ["number"], [])
    path.write_bytes(bytes(600) + path.read_bytes()[600:])
    with pytest.raises(SourceError, match=r"(?s)a\.parquet: damaged .* Fetch the file again"):
        list(rows.rows([0]))
