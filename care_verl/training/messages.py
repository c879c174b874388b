"""The prompt of a row as its dataset gives it: messages of texts and images."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from care_verl.training.run.image_digest import pixel_digest

MEDIA = ("image", "video", "audio")
ENCODED = "care_encoded_image"
"""Key of a message's image: its file's bytes (`care_verl.training.dataset`)."""

_DATA = ";base64,"
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


@dataclass(frozen=True)
class ImageFile:
    """An image of a prompt. name: of its file, the same for equal images; data: makes its bytes."""

    name: str
    data: Callable[[], bytes]


def question(messages: Sequence[Mapping[str, Any]]) -> str:
    """The texts of all messages; `<image>`, `<video>` and `<audio>` stand for what they name."""
    return "\n\n".join("".join(map(_shown, _parts(message["content"]))) for message in messages)


def texts(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The texts of all messages, one for each part that has one; media are left out."""
    parts = (part for message in messages for part in _parts(message["content"]))
    return [str(part["text"]) for part in parts if "text" in part]


def stored_images(messages: Sequence[Mapping[str, Any]]) -> Iterator[ImageFile]:
    """Each image's file, in order.

    Files stay as they are, decoded images become PNG. Left out is what cannot be read from here:
    an address, a path on another machine.
    """
    for message in messages:
        for part in _parts(message["content"]):
            if _kind(part) == "image":
                image = _image(part)
                if image is not None:
                    yield _decoded(image) if isinstance(image, Image.Image) else _file(image)


def _shown(part: Mapping[str, Any]) -> str:
    kind = _kind(part)
    return f"<{kind}>" if kind else str(part.get("text") or "")


def _parts(content: Any) -> Sequence[Mapping[str, Any]]:
    """Contents are texts, lists of texts and media, or None."""
    return content if isinstance(content, list) else [{"text": content or ""}]


def _kind(part: Mapping[str, Any]) -> str | None:
    """Which of `MEDIA` a part is; verl also knows the type `image_url`."""
    kind = str(part.get("type", "text")).removesuffix("_url")
    return kind if kind in MEDIA else None


def _image(part: Mapping[str, Any]) -> Image.Image | bytes | None:
    found = (part.get(name) for name in (ENCODED, "bytes", "image", "image_url"))
    image = next((value for value in found if value is not None), None)
    if isinstance(image, Mapping):
        image = image.get("url")
    return _read(image) if isinstance(image, str) else image


def _file(data: bytes) -> ImageFile:
    name = hashlib.blake2b(data, digest_size=16).hexdigest() + _suffix(data)
    return ImageFile(name, lambda: data)


def _decoded(image: Image.Image) -> ImageFile:
    return ImageFile(f"{pixel_digest([image]).hex()}.png", lambda: _png(image))


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
