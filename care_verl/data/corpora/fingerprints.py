"""What two rows are compared by: the question's words, the image's pixels, the image's look."""

import hashlib
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from care_verl.common.errors import CareVerlError

# A perceptual hash (pHash): the signs of the lowest frequencies of a small grey picture. 256 bits
# instead of the usual 64, since diagrams of thin lines on white hardly differ in the coarsest.
HASH_BITS = 256
_HASH_SIDE = 16
_PICTURE_SIDE = 64
_WORDS = HASH_BITS // 64

Looks = npt.NDArray[np.uint64]  # N images: (N, 4) words of 64 bits
Look = npt.NDArray[np.uint64]  # one image: (4,) words of 64 bits


class UnreadableImageError(CareVerlError, ValueError):
    """Bytes that are no image, or not all of one."""


@dataclass(frozen=True)
class ImageFingerprint:
    """One image: `pixels`, equal for equal pixels whatever the encoding, and `look`, (4,) words."""

    pixels: bytes
    look: Look


def question_key(text: str) -> str:
    """The question's letters, digits and mathematical signs: NFKC, case folded, nothing else.

    White space, punctuation, `$` and image placeholders such as `<image>` or `<image 1>` vanish.
    Signs that change what is asked (`+`, `-`, `≤`, `^`, `\\`, a decimal point) stay.
    """
    folded = _without_placeholders(unicodedata.normalize("NFKC", text).casefold())
    return "".join(
        char for place, char in enumerate(folded) if _counts(char) or _decimal_point(folded, place)
    )


def image_fingerprint(data: bytes) -> ImageFingerprint:
    """The fingerprint of an encoded image.

    Raises UnreadableImageError when pillow cannot read it.
    """
    try:
        image = _on_white(Image.open(io.BytesIO(data)))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=16)
    digest.update(image.tobytes())
    return ImageFingerprint(digest.digest(), look(image))


def look(image: Image.Image) -> Look:
    """The perceptual hash of an image, (4,) words."""
    # Not `imagehash.phash`: it takes in the mean and shrinks with another filter, which gives other
    # bits than those that the distances of docs/data-mixture.md were measured on.
    small = image.convert("L").resize((_PICTURE_SIDE, _PICTURE_SIDE), Image.Resampling.BOX)
    cosines = _cosines()
    frequencies = cosines @ np.asarray(small, dtype=np.float64) @ cosines.T
    return np.packbits(frequencies > np.median(frequencies)).view(np.uint64)


def distances(one: Look, others: Looks) -> npt.NDArray[np.int64]:
    """Number of bits, 0 to 256, by which `one`, (4,), differs from each of `others`, (N, 4)."""
    return np.bitwise_count(others ^ one).sum(axis=1, dtype=np.int64)


def stacked(looks: Sequence[Look]) -> Looks:
    """Looks as one array, (N, 4)."""
    return np.array(looks, dtype=np.uint64).reshape(len(looks), _WORDS)


def _on_white(image: Image.Image) -> Image.Image:
    """The image in RGB; where it was transparent, white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


@cache
def _cosines() -> npt.NDArray[np.float64]:
    """Rows 1 to 16 of the discrete cosine transform (the mean, row 0, is left out), (16, 64)."""
    frequency = np.arange(1, _HASH_SIDE + 1)[:, None]
    place = np.arange(_PICTURE_SIDE)[None, :] + 0.5
    return np.cos(np.pi * frequency * place / _PICTURE_SIDE)


def _without_placeholders(text: str) -> str:
    """`text` without `<image>`, `<image1>`, `<image 1>`."""
    head, *tails = text.split("<image")
    kept = [head]
    for tail in tails:
        number, closed, rest = tail.partition(">")
        is_placeholder = closed and (not number.strip() or number.strip().isdigit())
        kept.append(rest if is_placeholder else f"<image{tail}")
    return " ".join(kept)


def _counts(char: str) -> bool:
    """Letters, their accents, numbers, symbols; of the punctuation what mathematics uses."""
    return (unicodedata.category(char)[0] in "LMNS" and char not in "$`") or char in "-/\\*%"


def _decimal_point(text: str, place: int) -> bool:
    return text[place] == "." and text[place + 1 : place + 2].isdigit()
