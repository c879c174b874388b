"""Where benchmark files are looked for, and what is said when they are not there.

The hub itself is not asked: that its file names are as in `BENCHMARKS` is shown by its own pages
alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

from care_verl.tools.evaluation.benchmarks import BENCHMARKS, PAPER
from care_verl.tools.evaluation.data import FOLDER, DataError, load, located


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is looked into, and no hub."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.mark.parametrize("name", PAPER)
def test_no_files_and_no_hub(name: str, own: Path) -> None:
    benchmark = BENCHMARKS[name]
    with pytest.raises(DataError) as caught:
        located(benchmark)
    message = str(caught.value)
    assert f"{benchmark.dataset} cannot be fetched from the hub" in message
    place = f"Place {benchmark.files[0]} of the data set {benchmark.dataset} in {own / name}"
    assert place in message
    assert f"hf download {benchmark.dataset} --repo-type dataset --include" in message


def test_the_message_names_the_variable_where_it_is_not_set(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER)
    with pytest.raises(DataError, match=r"in DIR/mmmu, and set CARE_VERL_BENCHMARKS=DIR\. "):
        located(BENCHMARKS["mmmu"])
    with pytest.raises(DataError, match="Place test.parquet of the data folder that care-verl"):
        located(BENCHMARKS["embedded"])


def test_files_lie_as_on_the_hub_or_flat(benchmark_files: Path, own: Path) -> None:
    there = benchmark_files / "mmmu_pro_standard" / "standard (10 options)"
    shutil.copytree(there, own / "mmmu_pro_standard")
    names = ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]
    assert [file.name for file in located(BENCHMARKS["mmmu_pro_standard"])] == names
    assert [row["id"] for row in load(BENCHMARKS["mmmu_pro_standard"])] == [
        *("test_History_5", "test_Physics_11"),
    ]


def test_another_split_beside_it_is_not_read(benchmark_files: Path, own: Path) -> None:
    shutil.copytree(benchmark_files / "mathvision", own / "mathvision")
    (wanted,) = located(BENCHMARKS["mathvision"])
    shutil.copy(wanted, wanted.with_name("testmini-00000-of-00001-f8ff70fcb2f29b1d.parquet"))
    assert located(BENCHMARKS["mathvision"]) == [wanted]


def test_a_missing_shard_is_no_smaller_benchmark(benchmark_files: Path, own: Path) -> None:
    shutil.copytree(benchmark_files / "mmmu_pro_standard", own / "mmmu_pro_standard")
    located(BENCHMARKS["mmmu_pro_standard"])[0].unlink()
    with pytest.raises(DataError, match="expected all of 2 files, each once"):
        located(BENCHMARKS["mmmu_pro_standard"])


def test_files_of_another_benchmark(benchmark_files: Path, own: Path) -> None:
    shutil.copytree(benchmark_files / "mmmu_pro_vision", own / "mmmu_pro_vision")
    (file,) = located(BENCHMARKS["mmmu_pro_vision"])
    (own / "mathvision").mkdir()
    shutil.copy(file, own / "mathvision" / "test-00000-of-00001.parquet")
    with pytest.raises(DataError, match="expected also decoded_image, question"):
        load(BENCHMARKS["mathvision"])
