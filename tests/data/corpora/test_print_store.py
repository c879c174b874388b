"""A mixture that is interrupted while it compares goes on where it stopped."""

from pathlib import Path

import pytest

from care_verl.data.corpora import row_prints
from care_verl.data.corpora.fingerprints import ImagePrint, image_print
from care_verl.data.corpora.mixture import MixtureSettings, prepare_mixture
from care_verl.data.corpora.print_store import prints_folder, stored_prints

from .samples import drawing, encoded, rl_row, write_corpus

ROWS = 300
"""More than two batches of a file."""


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


class Looks:
    """Counts the images looked at; interrupted after so many."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.count = most, 0

    def __call__(self, data: bytes) -> ImagePrint:
        self.count += 1
        if self.most is not None and self.count > self.most:
            raise KeyboardInterrupt
        return image_print(data)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("torn", [False, True], ids=["whole lines", "a torn line"])
def test_an_interrupted_mixture_goes_on(
    corpora: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    """To the same bytes, without looking again at the batches that were done."""
    prepare_mixture(corpora, tmp_path / "straight", MixtureSettings())
    out = tmp_path / "out"
    monkeypatch.setattr(row_prints, "image_print", Looks(most=ROWS + 150))
    with pytest.raises(KeyboardInterrupt):
        prepare_mixture(corpora, out, MixtureSettings())
    assert not out.exists()
    if torn:
        store = prints_folder(out) / "1.jsonl"
        store.write_bytes(store.read_bytes()[:-10])
    looks = Looks()
    monkeypatch.setattr(row_prints, "image_print", looks)
    prepare_mixture(corpora, out, MixtureSettings())
    assert looks.count == ROWS - 128 + torn
    assert files_of(out) == files_of(tmp_path / "straight")
    assert not prints_folder(out).exists()


def test_prints_of_changed_files_are_made_anew(
    corpora: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [folder / "train.parquet" for folder in corpora]
    first = list(stored_prints(files, tmp_path / "prints"))
    looks = Looks()
    monkeypatch.setattr(row_prints, "image_print", looks)
    again = list(stored_prints(files, tmp_path / "prints"))
    assert looks.count == 0
    assert [(one.row, one.question, one.choices) for one in again] == [
        (one.row, one.question, one.choices) for one in first
    ]
    for one, other in zip(first, again, strict=True):
        assert one.images[0].pixels == other.images[0].pixels
        assert (one.images[0].look == other.images[0].look).all()
    files[0].touch()
    assert len(list(stored_prints(files, tmp_path / "prints"))) == 2 * ROWS
    assert looks.count == 2 * ROWS
