"""A prompt's images are processed once, not for each of its rollouts and twice over.

verl runs the model's processor on the images of every row, once for scoring and once for the
queue: 2·(G + 1) times the same work for a group.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from care_verl.training.run.image_digest import pixel_digest

BYTES_KEPT = 2**30
"""Of each agent-loop worker: the pixels of 40 photos of 1024 x 1024 as Qwen2.5-VL takes them."""


class MediaCache:
    """Processor outputs by the content of the images they were made from, of `limit` bytes."""

    def __init__(self, limit: int = BYTES_KEPT) -> None:
        self._limit = limit
        self._held = 0
        self._outputs: OrderedDict[bytes, dict[str, Any]] = OrderedDict()

    def get(
        self, media: Mapping[str, Any] | None, compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """`compute()`'s result for these media, kept for the next row that has the same.

        A new dict each time: verl removes keys from it. Only images are recognised; rows with
        video or audio are computed each time.
        """
        key = _content_key(media or {})
        if key is None:
            return compute()
        if key in self._outputs:
            self._outputs.move_to_end(key)
            return dict(self._outputs[key])
        outputs = compute()
        self._keep(key, outputs)
        return dict(outputs)

    def _keep(self, key: bytes, outputs: dict[str, Any]) -> None:
        """Outputs that are larger than the limit put all others out, and themselves."""
        self._outputs[key] = outputs
        self._held += byte_count(outputs)
        while self._held > self._limit:
            _, oldest = self._outputs.popitem(last=False)
            self._held -= byte_count(oldest)


def byte_count(value: Any) -> int:
    """Bytes of all tensors and arrays in a value; what else there is counts as nothing."""
    if isinstance(value, Mapping):
        return sum(map(byte_count, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(byte_count, value))
    return int(getattr(value, "nbytes", 0))


def _content_key(media: Mapping[str, Any]) -> bytes | None:
    images = media.get("images")
    others = any(value for name, value in media.items() if name != "images" and value is not None)
    if not images or others or not all(isinstance(image, Image.Image) for image in images):
        return None
    return pixel_digest(images)
