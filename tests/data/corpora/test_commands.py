"""The commands from end to end, on local copies."""

import errno
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from omegaconf import OmegaConf
from PIL import Image
from transformers import AutoProcessor
from typer.testing import CliRunner

from care_verl.data.commands import explained
from care_verl.data.corpora.cached_rows import SHARD_ROWS, cache_folder
from care_verl.data.corpora.checks import Checks
from care_verl.data.corpora.schema import RL_SCHEMA
from care_verl.tools.cli import app

from .hub_copies import (
    chartqa_copy,
    chartqa_row,
    geometry3k_copy,
    geometry3k_row,
    picture,
    virl39k_copy,
    virl39k_row,
)


def prepare(*arguments: object, status: int = 0) -> str:
    """Runs `care-verl data prepare` and returns all that it prints, in single spaces."""
    result = CliRunner().invoke(app, ["data", "prepare", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return " ".join(result.output.split())


def rows(out: Path) -> list[dict[str, Any]]:
    table = pq.read_table(out / "train.parquet")
    assert table.schema.equals(RL_SCHEMA)
    return table.to_pylist()


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


def dropped(out: Path) -> dict[str, str]:
    lines = (out / "dropped.jsonl").read_text().splitlines()
    return {entry["source_id"]: entry["reason"] for entry in map(json.loads, lines)}


def test_every_reason_is_counted_and_listed(tmp_path: Path, model: Path) -> None:
    big, flat = picture(0, size=(700, 700)), picture(0, size=(6000, 20))
    narrow = picture(0, size=(5800, 29))
    bad = {
        "unreadable": virl39k_row(1),
        "missing": virl39k_row(2),
        "big": virl39k_row(3),
        "small": virl39k_row(4),
        "flat": virl39k_row(5),
        "narrow": virl39k_row(6),
        "none": virl39k_row(7, image=[]),
        "two": virl39k_row(8, question="<image><image>x?"),
        "long": virl39k_row(9, question="<image>" + "red " * 700),
        "special": virl39k_row(10, question="<image><|image_pad|>"),
        "gold": virl39k_row(11, answer="\\boxed{\\frac{1}{2}"),
        "silent": virl39k_row(12, question=None),
        "unknown": virl39k_row(13, answer=""),
    }
    good = virl39k_row(0, image=["images/0.png", "images/0.png"], question="Which?\n(A) 0\n(B) 5")
    made = [good, *({**row, "qid": name} for name, row in bad.items())]
    images = {f"images/{n}.png": picture(n) for n in range(14)}
    images |= {"images/1.png": picture(1)[:-30], "images/3.png": big, "images/5.png": flat}
    images |= {"images/4.png": picture(4, size=(20, 20)), "images/6.png": narrow}
    del images["images/2.png"]
    folder, out = virl39k_copy(tmp_path / "hub", made, images), tmp_path / "out"
    limits = ["--max-pixels", 400_000, "--max-prompt-tokens", 600]
    text = prepare("virl39k", folder, "--out", out, "--model", model, *limits)
    (row,) = rows(out)
    assert row["prompt"][0]["content"].startswith("<image><image>Which?\n(A) 0\n(B) 5\n\nReason")
    assert row["extra_info"] == {
        "index": 0,
        "split": "train",
        "source_id": "q0",
        "question": "Which?\n(A) 0\n(B) 5",
        "choices": ["0", "5"],
        "category": "geometry",
    }
    assert row["data_source"] == "virl39k"
    assert row["reward_model"] == {"style": "rule", "ground_truth": "0"}
    assert [image["bytes"] for image in row["images"]] == [picture(0)] * 2
    found = dropped(out)
    gold = found.pop("gold")
    assert gold.startswith("gold answer: ")
    assert found == {
        "unreadable": "unreadable image",
        "missing": "missing image",
        "big": "too many pixels",
        "small": "too few pixels",
        "flat": "aspect ratio",
        "narrow": "aspect ratio",
        "none": "no image",
        "two": "placeholders and images differ",
        "long": "prompt too long",
        "special": "special tokens in the question",
        "silent": "no question",
        "unknown": "no answer",
    }
    account = report(out)
    assert account["stages"] == {"source rows": 14}
    assert account["kept"] == 1
    assert sum(account["dropped"].values()) == 13
    assert account["dropped"]["aspect ratio"] == 2
    assert account["notes"] == {"choices known": 1}
    assert "at most 600" in account["details"]["tokens of a prompt"]
    assert "dropped: aspect ratio │ 2" in text


def test_without_a_model_the_report_says_that_tokens_are_not_checked(tmp_path: Path) -> None:
    folder = chartqa_copy(tmp_path / "hub", [chartqa_row(n) for n in range(8)])
    prepare("chartqa", folder, "--out", tmp_path / "out")
    assert report(tmp_path / "out")["stages"] == {"source rows": 8, "after subset human": 4}
    assert "tokens of a prompt: not checked" in (tmp_path / "out" / "report.md").read_text()


def test_a_limit_draws_rows_by_its_seed(tmp_path: Path) -> None:
    folder = geometry3k_copy(tmp_path / "hub", [geometry3k_row(n + 1) for n in range(30)])
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        prepare("geometry3k", folder, "--out", tmp_path / name, "--limit", 10, "--seed", seed)
    first, again, other = (rows(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again
    assert len(first) == len(other) == 10
    assert first != other
    indices = [row["extra_info"]["index"] for row in first]
    assert indices == sorted(set(indices))
    assert report(tmp_path / "first")["stages"] == {"source rows": 30, "after limit": 10}


def test_tags_stand_in_the_instruction(tmp_path: Path) -> None:
    folder = geometry3k_copy(tmp_path / "hub", [geometry3k_row(1)])
    prepare("geometry3k", folder, "--out", tmp_path / "out", "--think-tag", "reasoning")
    (row,) = rows(tmp_path / "out")
    assert "<reasoning> </reasoning>" in row["prompt"][0]["content"]


def test_errors_end_the_command_with_their_words(tmp_path: Path) -> None:
    folder = virl39k_copy(tmp_path / "hub", [virl39k_row(n + 1) for n in range(4)])
    out = tmp_path / "out"
    assert "no such folder" in prepare("virl39k", tmp_path / "no", "--out", out, status=1)
    assert "two different names" in prepare(
        "virl39k", folder, "--out", out, "--think-tag", "answer", status=1
    )
    prepare("virl39k", folder, "--out", out)
    assert "is kept" in prepare("virl39k", folder, "--out", out)
    words = prepare("virl39k", folder, "--out", out, "--max-pixels", 5000, status=1)
    assert "made with other arguments" in words
    assert not re.search("Traceback", words)
    archive = folder / "images.zip"
    archive.write_bytes(archive.read_bytes()[:-30])
    assert "cut short" in prepare("virl39k", folder, "--out", tmp_path / "new", status=1)


def test_a_full_disk_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), explained():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data/x")
    words = capsys.readouterr().err
    assert "No space left on device. What was done is kept" in words
    assert "run the same command again (data/x)" in words
    with pytest.raises(typer.Exit), explained():
        raise PermissionError(errno.EACCES, "no")
    assert "kept" not in capsys.readouterr().err


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "care_verl.cli", "data", "prepare", *map(str, arguments)]


def test_killed_in_the_middle_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing under the final name; then no row is checked again whose shard was done."""
    made = [chartqa_row(n, human_or_machine=0) for n in range(3 * SHARD_ROWS)]
    made[700] = chartqa_row(700, human_or_machine=0, image={"bytes": b"no image", "path": None})
    folder = chartqa_copy(tmp_path / "hub", made)
    out = tmp_path / "broken" / "out"
    process = subprocess.Popen(
        command("chartqa", folder, "--out", out),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (done := shards_made(out)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = shards_made(out)
    assert 0 < done < 3
    assert not out.exists()
    checked: list[int] = []
    real = Checks.unit

    def counted(self: Checks, row: Any) -> Any:
        checked.append(row.index)
        return real(self, row)

    monkeypatch.setattr(Checks, "unit", counted)
    prepare("chartqa", folder, "--out", out)
    assert sorted(checked) == list(range(done * SHARD_ROWS, 3 * SHARD_ROWS))
    whole = tmp_path / "whole" / "out"
    prepare("chartqa", folder, "--out", whole)
    assert dropped(out) == {"train-700": "unreadable image"}
    assert rows(out) == rows(whole)
    assert [row["extra_info"]["index"] for row in rows(out)] == [
        *range(700),
        *range(701, 3 * SHARD_ROWS),
    ]
    assert report(out) == report(whole)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def shards_made(out: Path) -> int:
    return len(list(cache_folder(out).rglob("cache-*.arrow")))


def noise(number: int) -> bytes:
    """A JPEG of noise, 37 kB: 185 MB in all for five thousand."""
    size = (200, 150)
    data = random.Random(number).randbytes(size[0] * size[1] * 3)
    buffer = io.BytesIO()
    Image.frombytes("RGB", size, data).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def peak_megabytes(folder: Path, out: Path) -> float:
    """Peak memory of the process that prepares, its checks of gold answers in other processes."""
    # Not getrusage: what it gives counts the parent's memory at the start of the process too.
    code = (
        "import sys; from care_verl.tools.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "print('peak', next(line for line in lines if line.startswith('VmHWM')).split()[1])"
    )
    arguments = ["data", "prepare", "virl39k", str(folder), "--out", str(out)]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return int(result.stdout.split("peak")[-1]) / 1024


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = {}
    for count in (500, 5000):
        made = [virl39k_row(n + 1) for n in range(count)]
        images = (noise(n) for n in range(count))
        paths = (f"images/{n + 1}.png" for n in range(count))
        stored = dict(zip(paths, images, strict=True))
        folder = virl39k_copy(tmp_path / str(count), made, stored)
        peaks[count] = peak_megabytes(folder, tmp_path / f"out{count}")
        assert report(tmp_path / f"out{count}")["kept"] == count
    assert peaks[5000] < peaks[500] + 40, peaks


def test_verl_loads_two_corpora_together(tmp_path: Path, model: Path) -> None:
    from verl.utils.dataset.rl_dataset import RLHFDataset

    chartqa = chartqa_copy(tmp_path / "a", [chartqa_row(n, human_or_machine=0) for n in range(4)])
    several = virl39k_row(
        7, image=["images/7.png", "images/8.png"], question="Which?\n(A) 7\n(B) 8"
    )
    virl39k = virl39k_copy(tmp_path / "b", [virl39k_row(1), several])
    for name, folder in (("chartqa", chartqa), ("virl39k", virl39k)):
        prepare(name, folder, "--out", tmp_path / name, "--model", model)
    processor = AutoProcessor.from_pretrained(model)
    config = {"cache_dir": str(tmp_path / "cache"), "max_prompt_length": 2048}
    # In this process: another one would be forked beside the threads that are running here.
    config |= {"filter_overlong_prompts": True, "filter_overlong_prompts_workers": None}
    files = [str(tmp_path / name / "train.parquet") for name in ("chartqa", "virl39k")]
    dataset = RLHFDataset(files, processor.tokenizer, OmegaConf.create(config), processor)
    assert len(dataset) == 6
    last = dataset[5]
    assert last["data_source"] == "virl39k"
    assert last["reward_model"]["ground_truth"] == "7"
    assert last["extra_info"]["choices"] == ["7", "8"]
    assert dataset[0]["extra_info"]["choices"] is None
    kinds = [part["type"] for part in last["raw_prompt"][0]["content"]]
    assert kinds == ["image", "image", "text"]
    assert last["raw_prompt"][0]["content"][0]["image"].size == (64, 48)


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    code = (
        "import sys; import care_verl.cli\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
