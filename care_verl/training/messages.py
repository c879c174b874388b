"""The prompt of a row as its dataset gives it: messages of texts and images."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from care_verl.training.dataset import ENCODED

MEDIA = ("image", "video", "audio")
_DATA = ";base64,"
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def question(messages: Sequence[Mapping[str, Any]]) -> str:
    """The texts of all messages; `<image>`, `<video>` and `<audio>` stand for what they name."""
    return "\n\n".join("".join(_texts(message["content"])) for message in messages)


def stored_images(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[bytes, str]]:
    """Each image's file and the suffix of its format, in order.

    Files stay as they are, decoded images become PNG. Left out is what cannot be read from here:
    an address, a path on another machine.
    """
    for message in messages:
        for part in _parts(message["content"]):
            if _kind(part) == "image":
                data = _file(part)
                if data is not None:
                    yield data, _suffix(data)


def _texts(content: Any) -> Iterator[str]:
    for part in _parts(content):
        kind = _kind(part)
        yield f"<{kind}>" if kind else str(part.get("text") or "")


def _parts(content: Any) -> Sequence[Mapping[str, Any]]:
    """Contents are texts, lists of texts and media, or None."""
    return content if isinstance(content, list) else [{"text": content}]


def _kind(part: Mapping[str, Any]) -> str | None:
    """Which of `MEDIA` a part is; verl also knows the type `image_url`."""
    kind = str(part.get("type", "text")).removesuffix("_url")
    return kind if kind in MEDIA else None


def _file(part: Mapping[str, Any]) -> bytes | None:
    found = (part.get(name) for name in (ENCODED, "bytes", "image", "image_url"))
    image = next((value for value in found if value is not None), None)
    if isinstance(image, Mapping):
        image = image.get("url")
    if isinstance(image, Image.Image):
        return _png(image)
    return _read(image) if isinstance(image, str) else image


def _read(address: str) -> bytes | None:
    if address.startswith("data:"):
        try:
            return base64.b64decode(address.partition(_DATA)[2], validate=True)
        except binascii.Error:
            return None
    try:
        return Path(address.removeprefix("file://")).read_bytes()
    except (OSError, ValueError):
        return None


def _png(image: Image.Image) -> bytes:
    stream = BytesIO()
    (image if image.mode in _PNG_MODES else image.convert("RGB")).save(stream, "PNG")
    return stream.getvalue()


def _suffix(data: bytes) -> str:
    try:
        with Image.open(BytesIO(data)) as image:
            return f".{image.format or 'bin'}".lower()
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return ".bin"
