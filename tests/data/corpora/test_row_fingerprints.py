"""A mixture that is interrupted while it compares goes on where it stopped."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from care_verl.data.corpora import cached_rows, row_fingerprints
from care_verl.data.corpora.cached_rows import cache_folder
from care_verl.data.corpora.fingerprints import ImageFingerprint, image_fingerprint
from care_verl.data.corpora.mixture import MixtureSettings, prepare_mixture

from .samples import drawing, encoded, rl_row, write_corpus

ROWS = 300
SHARD = 128
"""More than two shards of a file."""


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("corpora")
    made = []
    for name, first in (("a", 0), ("b", ROWS)):
        rows = [
            rl_row(encoded(drawing(n)), f"What is {n}?", str(n), f"{name}{n}", ["1", str(n)])
            for n in range(first, first + ROWS)
        ]
        made.append(write_corpus(folder / name, rows))
    return made


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_rows, "SHARD_ROWS", SHARD)


class Looks:
    """Counts the images looked at; interrupted after so many."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.count, self.lock = most, 0, threading.Lock()

    def __call__(self, data: bytes) -> ImageFingerprint:
        with self.lock:
            self.count += 1
        if self.most is not None and self.count > self.most:
            raise KeyboardInterrupt
        return image_fingerprint(data)


def test_an_interrupted_mixture_goes_on(
    corpora: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the same rows, without looking again at the shards that were done."""
    prepare_mixture(corpora, tmp_path / "straight", MixtureSettings())
    out = tmp_path / "out"
    monkeypatch.setattr(row_fingerprints, "image_fingerprint", Looks(most=ROWS + 150))
    with pytest.raises(KeyboardInterrupt):
        prepare_mixture(corpora, out, MixtureSettings())
    assert not out.exists()
    looks = Looks()
    monkeypatch.setattr(row_fingerprints, "image_fingerprint", looks)
    prepare_mixture(corpora, out, MixtureSettings())
    assert looks.count == ROWS - SHARD
    straight, resumed = (pq.read_table(f / "train.parquet") for f in (tmp_path / "straight", out))
    assert resumed.equals(straight)
    assert not cache_folder(out).exists()


KILLED = """
import sys, time
from pathlib import Path
from care_verl.data.corpora import mixture

def wait(folder, report):
    print(*sorted(path.name for path in folder.iterdir()), flush=True)
    time.sleep(600)

mixture._write_account = wait
out, *corpora = map(Path, sys.argv[1:])
mixture.prepare_mixture(corpora, out, mixture.MixtureSettings())
"""


def test_killed_while_the_account_is_written(
    corpora: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are written by then, under another folder's name."""
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(out), *map(str, corpora)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["train.parquet"]
        process.send_signal(signal.SIGKILL)
    assert not out.exists()
    monkeypatch.setattr(cached_rows, "SHARD_ROWS", 512)
    monkeypatch.setattr(row_fingerprints, "image_fingerprint", Looks(most=0))
    prepare_mixture(corpora, out, MixtureSettings())
    assert pq.read_metadata(out / "train.parquet").num_rows == 2 * ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_prints_of_changed_files_are_made_anew(
    corpora: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prints() -> list[row_fingerprints.RowFingerprint]:
        return [
            one
            for folder in corpora
            for file in [folder / "train.parquet"]
            for one in row_fingerprints.row_fingerprints(
                file, cached_rows.parquet_rows(file, row_fingerprints.RL_SCHEMA.names, tmp_path)
            )
        ]

    first = prints()
    looks = Looks()
    monkeypatch.setattr(row_fingerprints, "image_fingerprint", looks)
    again = prints()
    assert looks.count == 0
    assert [(one.row, one.question, one.choices) for one in again] == [
        (one.row, one.question, one.choices) for one in first
    ]
    for one, other in zip(first, again, strict=True):
        assert one.images[0].pixels == other.images[0].pixels
        assert (one.images[0].look == other.images[0].look).all()
    (corpora[0] / "train.parquet").touch()
    assert len(prints()) == 2 * ROWS
    assert looks.count == ROWS
