"""Images small enough to stand in the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image, ImageOps

from care_verl.common.errors import CareVerlError
from care_verl.records.files import RunRecord

LARGEST = 640
"""Pixels of the longer side."""
_QUALITY = 85


class PictureError(CareVerlError, ValueError):
    """A file that is no image."""


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, or why there is none."""

    uri: str = ""
    problem: str = ""


def picture(record: RunRecord, name: str) -> Picture:
    """An image of the record; a missing or broken one costs the page nothing else."""
    try:
        return Picture(data_uri(record.image(name)))
    except FileNotFoundError:
        return Picture(problem=f"{name} is not among the record's images")
    except PictureError as error:
        return Picture(problem=f"{name}: {error}")


def data_uri(data: bytes) -> str:
    """An image of at most `LARGEST` pixels as a data URI: PNG or WebP, whichever is shorter.

    It is encoded anew, so that nothing of the file but its pixels reaches the page.

    Raises:
        PictureError: it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(data)) as file:
            image = ImageOps.exif_transpose(file).convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(f"no image that Pillow can read: {error}") from error
    image.thumbnail((LARGEST, LARGEST))
    if image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    encoded = {"png": _encode(image, "PNG", optimize=True)}
    encoded["webp"] = _encode(image, "WEBP", quality=_QUALITY)
    kind = min(encoded, key=lambda name: len(encoded[name]))
    return f"data:image/{kind};base64,{base64.b64encode(encoded[kind]).decode()}"


def _encode(image: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
