"""What the tests of faults share: rows with broken images, and how a run must have ended."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from .running import Run

SMALL = ["data.train_batch_size=8", "actor_rollout_ref.actor.ppo_mini_batch_size=4"]
"""Eight groups and two optimizer steps in each step."""

END_S = 60.0
"""A run that cannot go on has ended within this time; most take a tenth of it."""

NOT_AN_IMAGE = b"these bytes are no image"


def _cut_png() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((112, 112), 80).save(stream, "PNG")
    return stream.getvalue()[: stream.tell() // 2]


CUT_PNG = _cut_png()
"""The first half of a file, as a copy leaves it that was broken off."""


def with_images(
    source: Path, target: Path, images: Mapping[int, bytes | dict[str, Any]], count: int
) -> Path:
    """The first `count` rows of a table with the images of some replaced, as a new table."""
    rows = pq.read_table(source).slice(0, count).to_pylist()
    for number, row in enumerate(rows):
        image = images.get(number, row["images"][0]["bytes"])
        row["images"] = [image if isinstance(image, dict) else {"bytes": image, "path": None}]
    pq.write_table(pa.Table.from_pylist(rows), target)
    return target


def groups(metrics: Mapping[str, float]) -> float:
    """How many groups a step compared."""
    return sum(metrics[f"care/groups/{kind}"] for kind in ("mixed", "all_wrong", "all_right"))


def ended(run: Run, message: str) -> float:
    """Wait for the end of a run that a fault has just hit; the seconds it took.

    It must fail within `END_S`, with `message` in its log, and leave nothing behind.
    """
    begin = time.monotonic()
    status = run.finish(END_S)
    seconds = time.monotonic() - begin
    assert status != 0
    assert message in run.log, run.tail()
    left = run.leftovers()
    assert not left, f"left behind: {left}"
    print(f"{run.folder.parent.name}: exit status {status} after {seconds:.1f} s: {message}")
    return seconds
