"""Checks of one image, and the bytes that are stored for it."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from care_verl.common.errors import CareVerlError
from care_verl.data.corpora.limits import Limits

_KEPT_FORMATS = ("PNG", "JPEG")
# Deeper modes, such as 16-bit grey, lose their contrast when converted to RGB.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")
_TRANSPARENT_MODES = ("LA", "PA", "RGBA")


class ImageError(CareVerlError):
    """An image that a row cannot be kept with; `reason` is counted, the message is the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class StoredImage:
    """An image that passed: encoded bytes of a PNG or JPEG in RGB, and its size in pixels."""

    data: bytes
    width: int
    height: int
    encoded_anew: bool


def checked_image(data: bytes, limits: Limits) -> StoredImage:
    """Decode `data` fully and return what is stored for it.

    A PNG or JPEG in RGB is stored as it is. Anything else becomes a PNG in RGB, with white where
    the image is transparent, as Qwen2.5-VL's own reading of images has it.

    Raises ImageError: `unreadable image`, `image mode`, `too few pixels`, `too many pixels`,
    `aspect ratio`.
    """
    with warnings.catch_warnings():
        # The number of pixels is checked below, before anything is decoded.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return _checked(data, limits)
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageError("too many pixels", str(error)) from error
        except UnidentifiedImageError as error:
            # Pillow's own words hold an address in memory: no two runs would write the same.
            raise ImageError("unreadable image", "in no format that Pillow knows") from error
        except MemoryError:
            raise
        except Exception as error:
            # Pillow's decoders raise whatever they stumble over in damaged data.
            raise ImageError("unreadable image", f"{type(error).__name__}: {error}") from error


def _checked(data: bytes, limits: Limits) -> StoredImage:
    with Image.open(io.BytesIO(data)) as image:
        _check_size(image, limits)
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        if image.mode not in _MODES:
            raise ImageError("image mode", f"mode {image.mode}; readable are {', '.join(_MODES)}")
        if image.format in _KEPT_FORMATS and image.mode == "RGB" and not _transparent(image):
            return StoredImage(data, image.width, image.height, encoded_anew=False)
        return StoredImage(_as_png(image), image.width, image.height, encoded_anew=True)


def _check_size(image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    pixels, found = width * height, f"{width} x {height}"
    if pixels < limits.min_pixels:
        raise ImageError("too few pixels", f"{found}; fewest are {limits.min_pixels}")
    if pixels > limits.max_pixels:
        raise ImageError("too many pixels", f"{found}; most are {limits.max_pixels}")
    if max(width, height) > limits.aspect_ratio * min(width, height):
        raise ImageError("aspect ratio", f"{found}; most is {limits.aspect_ratio}")


def _transparent(image: Image.Image) -> bool:
    return image.mode in _TRANSPARENT_MODES or "transparency" in image.info


def _as_png(image: Image.Image) -> bytes:
    if _transparent(image):
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, (255, 255, 255))
        image.paste(layer, mask=layer.getchannel("A"))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="PNG")
    return buffer.getvalue()
