"""A prompt's images are processed once, not for each of its rollouts and twice over.

verl runs the model's processor on the images of every row, once for scoring and once for the
queue: 2·(G + 1) times the same work for a group.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

PROMPTS_KEPT = 64


class MediaCache:
    """Processor outputs by the content of the images they were made from."""

    def __init__(self, size: int = PROMPTS_KEPT) -> None:
        self._size = size
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
        if key not in self._outputs:
            self._outputs[key] = compute()
            if len(self._outputs) > self._size:
                self._outputs.popitem(last=False)
        self._outputs.move_to_end(key)
        return dict(self._outputs[key])


def _content_key(media: Mapping[str, Any]) -> bytes | None:
    images = media.get("images")
    others = any(value for name, value in media.items() if name != "images" and value is not None)
    if not images or others:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for image in images:
        if not hasattr(image, "tobytes") or not hasattr(image, "mode"):
            return None
        digest.update(f"{image.mode}{image.size}".encode())
        digest.update(image.tobytes())
    return digest.digest()
