"""Prompts as datasets give them: texts with placeholders, images as files or decoded."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from care_verl.training.messages import ENCODED, question, stored_images, texts


def picture(mode: str = "RGB", kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (3, 2)).save(stream, kind)
    return stream.getvalue()


def read(messages: list[dict[str, Any]]) -> list[tuple[bytes, str]]:
    """Each image's file and the suffix of its name."""
    return [(image.data(), Path(image.name).suffix) for image in stored_images(messages)]


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def test_a_question_is_the_text_of_all_messages() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": None},
        *user(
            {"type": "text", "text": "Compare ", "image": None},
            {"type": "image", ENCODED: picture()},
            {"type": "text", "text": " and "},
            {"type": "image_url", "image_url": {"url": "http://host/a.png"}},
            {"type": "video", "video": "a.mp4"},
        ),
    ]
    assert question(messages) == "Be brief.\n\n\n\nCompare <image> and <image><video>"


@pytest.mark.parametrize("name", [ENCODED, "bytes"])
def test_a_file_stays_as_it_is(name: str) -> None:
    jpeg = picture(kind="JPEG")
    messages = user({"type": "text", "text": "x"}, {"type": "image", name: jpeg})
    assert read(messages) == [(jpeg, ".jpeg")]


def test_paths_and_embedded_addresses_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    address = "data:image/png;base64," + base64.b64encode(picture()).decode()
    for image in (str(path), f"file://{path}", address):
        assert read(user({"type": "image", "image": image})) == [(picture(), ".png")]
    url = user({"type": "image_url", "image_url": {"url": address}})
    assert read(url) == [(picture(), ".png")]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_decoded_images_become_png(mode: str) -> None:
    ((data, suffix),) = read(user({"type": "image", "image": Image.new(mode, (3, 2))}))
    assert suffix == ".png"
    assert Image.open(io.BytesIO(data)).size == (3, 2)


@pytest.mark.parametrize(
    "image", ["http://host/a.png", "/not/there.png", "data:image/png;base64,?", "x" * 5000, "a\0b"]
)
def test_what_cannot_be_read_is_left_out(image: str) -> None:
    assert list(stored_images(user({"type": "image", "image": image}))) == []


def test_an_unknown_format_is_stored_all_the_same() -> None:
    assert read(user({"type": "image", ENCODED: b"?"})) == [(b"?", ".bin")]


def names(*images: Any) -> list[str]:
    parts = ({"type": "image", "image": image} for image in images)
    return [image.name for image in stored_images(user(*parts))]


def test_decoded_images_are_known_by_their_pixels() -> None:
    """Equal pixels are one file, whatever object holds them; so no image is encoded to compare.

    Two images with a palette have the same indices here and show other colours.
    """
    red, green = (Image.new("P", (2, 2), 0) for _ in range(2))
    red.putpalette([255, 0, 0])
    green.putpalette([0, 255, 0])
    images = [
        Image.new("RGB", (3, 2)),
        Image.new("RGB", (2, 3)),
        Image.new("L", (3, 2)),
        red,
        green,
    ]
    found = names(*images)
    assert len(set(found)) == len(images)
    assert names(*(image.copy() for image in images)) == found


def test_texts_leave_media_out_and_stay_as_they_are() -> None:
    """They are part of what a seeded validation prompt is told by: they may not change."""
    parts = [{"type": "image"}, {"type": "text", "text": "What?"}, {"type": "image", "text": None}]
    contents = ["a", None, [], parts]
    messages = [{"role": "user", "content": content} for content in contents]
    assert texts(messages) == ["a", "", "What?", "None"]
