"""The file of a captured step: what goes in comes out, what is no capture is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import safe_open, save_file

from care_verl.training.care import capture_file
from care_verl.training.care.capture_file import CaptureError, read_capture, write_capture

from .samples import step


def test_round_trip(tmp_path: Path) -> None:
    made = step(Path("model"))
    write_capture(tmp_path / "a" / "step_1.safetensors", made)
    read = read_capture(tmp_path / "a" / "step_1.safetensors")
    assert replace(read, rows=[]) == replace(made, rows=[])
    for ours, theirs in zip(made.rows, read.rows, strict=True):
        for name, value in vars(ours).items():
            other = getattr(theirs, name)
            if isinstance(value, torch.Tensor):
                assert other.dtype == value.dtype
                assert torch.equal(other, value), name
            elif name == "media":
                assert {n: v.tolist() for n, v in other.items()} == {
                    n: v.tolist() for n, v in value.items()
                }
            else:
                assert other == value, name


def test_rows_of_one_prompt_share_their_images(tmp_path: Path) -> None:
    made = step(Path("model"))
    rows = [replace(row, media=made.rows[0].media) for row in made.rows]
    write_capture(tmp_path / "c.safetensors", replace(made, rows=rows))
    with safe_open(tmp_path / "c.safetensors", "pt") as file:
        pixels = [name for name in file.keys() if name.endswith("pixel_values")]  # noqa: SIM118
    assert len(pixels) == 1
    read = read_capture(tmp_path / "c.safetensors")
    assert torch.equal(read.rows[-1].media["pixel_values"], rows[0].media["pixel_values"])


def test_a_text_row_has_no_media(tmp_path: Path) -> None:
    made = step(Path("model"))
    rows = [made.rows[0], replace(made.rows[1], media={})]
    write_capture(tmp_path / "c.safetensors", replace(made, rows=rows))
    assert [len(row.media) for row in read_capture(tmp_path / "c.safetensors").rows] == [2, 0]


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.safetensors"
    monkeypatch.setattr(capture_file, "VERSION", 2)
    write_capture(path, step(Path("model")))
    monkeypatch.undo()
    with pytest.raises(CaptureError, match="version 2; expected 'care-verl capture' of version 1"):
        read_capture(path)


@pytest.mark.parametrize("header", [None, {"capture": json.dumps({"format": "other"})}])
def test_other_tensors_are_refused(tmp_path: Path, header: dict[str, str] | None) -> None:
    path = tmp_path / "c.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(CaptureError, match="expected 'care-verl capture'"):
        read_capture(path)


def test_what_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"half")
    with pytest.raises(CaptureError, match="cannot be read as safetensors"):
        read_capture(path)


def test_a_write_that_fails_leaves_no_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> bytes:
        raise OSError("No space left on device")

    monkeypatch.setattr(capture_file, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write_capture(tmp_path / "step_1.safetensors", step(Path("model")))
    assert not (tmp_path / "step_1.safetensors").exists()
