"""Which images pass, and what is stored for them."""

import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from care_verl.data.corpora.images import ImageError, StoredImage, checked_image
from care_verl.data.corpora.limits import Limits

from .hub_copies import picture

LIMITS = Limits(min_pixels=28 * 28, max_pixels=100_000, max_prompt_tokens=1)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def decoded(stored: StoredImage) -> Image.Image:
    image = Image.open(io.BytesIO(stored.data))
    assert image.mode == "RGB"
    assert image.size == (stored.width, stored.height)
    return image


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_png_and_jpeg_in_rgb_are_stored_as_they_are(form: str) -> None:
    data = picture(1, form=form)
    assert checked_image(data, LIMITS) == StoredImage(data, 64, 48, encoded_anew=False)


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "1"), ("JPEG", "CMYK"), ("JPEG", "L"),
     ("GIF", "P"), ("BMP", "RGB"), ("WEBP", "RGB"), ("TIFF", "RGB")],
)  # fmt: skip
def test_any_other_becomes_a_png_in_rgb_of_the_same_pixels(form: str, mode: str) -> None:
    data = picture(1, form=form, mode=mode)
    stored = checked_image(data, LIMITS)
    assert stored.encoded_anew
    assert decoded(stored).format == "PNG"
    assert decoded(stored).tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()
    assert checked_image(data, LIMITS) == stored


def test_transparent_pixels_become_white() -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    image.paste((200, 10, 10, 255), (0, 0, 20, 40))
    palette = image.convert("RGB").quantize(4)
    # Black, all that is not red, is the transparent colour of the palette image.
    black = palette.getpixel((30, 10))
    for data in (encoded(image), encoded(palette, transparency=black)):
        result = decoded(checked_image(data, LIMITS))
        assert result.getpixel((30, 10)) == (255, 255, 255)
        assert result.getpixel((10, 10)) == (200, 10, 10)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (picture(1)[:-40], "unreadable image"),
        (picture(1, form="JPEG")[:-200], "unreadable image"),
        (picture(1)[:60] + b"\0" * 40 + picture(1)[100:], "unreadable image"),
        (b"", "unreadable image"),
        (b"<html>not found</html>", "unreadable image"),
        (picture(1, size=(27, 28)), "too few pixels"),
        (picture(1, size=(400, 300)), "too many pixels"),
        (picture(1, size=(6030, 15)), "aspect ratio"),
        (encoded(Image.new("I;16", (40, 40), 40_000)), "image mode"),
    ],
)
def test_images_that_do_not_pass(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as refusal:
        checked_image(data, LIMITS)
    assert refusal.value.reason == reason
    assert str(refusal.value)


def test_the_limits_themselves_pass() -> None:
    for size in ((28, 28), (400, 250), (4000, 20)):
        assert checked_image(picture(1, size=size), LIMITS).width == size[0]


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    # Two files of some hundred kilobytes that hold a gigapixel, above and below Pillow's own limit.
    for side in (30_000, 11_000):
        bomb = encoded(Image.new("1", (side, side)))
        with pytest.raises(ImageError) as refusal:
            checked_image(bomb, LIMITS)
        assert refusal.value.reason == "too many pixels"


@settings(max_examples=150)
@given(st.sampled_from(["PNG", "JPEG", "GIF"]), st.data())
def test_damage_of_any_kind_is_a_reason_and_no_crash(form: str, data: st.DataObject) -> None:
    whole = bytearray(picture(1, form=form))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        decoded(checked_image(bytes(whole), LIMITS)).load()
