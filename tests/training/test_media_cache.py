"""The cache of processor outputs.

That a model's outputs depend on nothing but the images is assumed here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from care_verl.training.run.media_cache import MediaCache, byte_count


class Processor:
    """Counts how often it runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> dict[str, Any]:
        self.runs += 1
        return {"run": self.runs}


def image(colour: int, size: tuple[int, int] = (2, 3), mode: str = "L") -> Image.Image:
    return Image.new(mode, size, colour)


def test_equal_images_are_processed_once() -> None:
    """Equal by content: the second is another object."""
    cache, compute = MediaCache(), Processor()
    assert cache.get({"images": [image(7)]}, compute) == {"run": 1}
    assert cache.get({"images": [image(7)], "videos": None}, compute) == {"run": 1}


@pytest.mark.parametrize(
    "other", [[image(8)], [image(7, (3, 2))], [image(7, mode="P")], [image(7), image(7)]]
)
def test_other_images_are_processed_anew(other: list[Image.Image]) -> None:
    cache, compute = MediaCache(), Processor()
    cache.get({"images": [image(7)]}, compute)
    assert cache.get({"images": other}, compute) == {"run": 2}


def test_verl_may_remove_keys_from_what_it_got() -> None:
    cache, compute = MediaCache(), Processor()
    cache.get({"images": [image(7)]}, compute).clear()
    cache.get({"images": [image(7)]}, compute).clear()
    assert cache.get({"images": [image(7)]}, compute) == {"run": 1}


@pytest.mark.parametrize(
    "media",
    [
        None,
        {},
        {"images": None},
        {"images": ["a path"]},
        {"images": [image(7)], "videos": ["a video"]},
        {"images": [image(7)], "audios": [0.5]},
    ],
)
def test_what_is_not_recognised_is_processed_each_time(media: dict[str, Any] | None) -> None:
    cache, compute = MediaCache(), Processor()
    assert [cache.get(media, compute)["run"] for _ in range(2)] == [1, 2]


def test_the_least_recently_used_images_are_forgotten() -> None:
    """Room for two outputs of 8 bytes: 1 was used after 2, so the third puts 2 out."""
    processor = Processor()

    def compute() -> dict[str, Any]:
        return {**processor(), "pixel_values": torch.zeros(1), "grid": np.zeros(1, np.float32)}

    cache = MediaCache(limit=16)
    for colour in (1, 2, 1, 3):
        cache.get({"images": [image(colour)]}, compute)
    assert processor.runs == 3
    cache.get({"images": [image(1)]}, compute)
    assert processor.runs == 3
    cache.get({"images": [image(2)]}, compute)
    assert processor.runs == 4


def test_outputs_that_are_too_large_are_not_held() -> None:
    cache, processor = MediaCache(limit=16), Processor()
    for _ in range(2):
        cache.get({"images": [image(1)]}, lambda: {**processor(), "pixels": torch.zeros(5)})
    assert processor.runs == 2


def test_bytes_are_those_of_tensors_and_arrays_at_any_depth() -> None:
    tensors = [torch.zeros(2, 3), (torch.zeros(1, dtype=torch.int64),)]
    assert byte_count({"a": tensors, "b": {"c": np.zeros(2)}, "d": 7, "e": None}) == 24 + 8 + 16
