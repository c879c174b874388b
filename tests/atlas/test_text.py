"""Characters that act unseen are shown; pictures lose everything but their pixels."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from care_verl.tools.atlas.pictures import LARGEST, PictureError, data_uri
from care_verl.tools.atlas.text import visible

from .harm import SEEN, UNSEEN
from .made import plot


def test_unseen_characters_are_shown_by_their_code() -> None:
    assert visible(UNSEEN) == SEEN
    assert visible("\ud800\ufeff\U000e0001\x85") == r"\ud800\ufeff\U000e0001\x85"


def test_text_of_any_script_stays_as_it_is() -> None:
    text = "Größe ≥ 3 €\n\tمرحبا 你好 👩\u200d🔬 é"
    assert visible(text) == text


def decoded(uri: str) -> Image.Image:
    head, data = uri.split(",")
    assert head in {"data:image/png;base64", "data:image/webp;base64"}
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_picture_is_scaled_down_and_encoded_anew() -> None:
    source = Image.open(io.BytesIO(plot()))
    stream = io.BytesIO()
    comment = b"<script>1</script>"
    source.save(stream, "JPEG", comment=comment)
    assert comment in stream.getvalue()
    uri = data_uri(stream.getvalue())
    assert decoded(uri).size == (LARGEST, LARGEST * source.height // source.width)
    assert comment not in base64.b64decode(uri.split(",")[1])


def test_a_small_picture_keeps_its_size_and_transparency() -> None:
    stream = io.BytesIO()
    Image.new("RGBA", (30, 20), (255, 0, 0, 100)).save(stream, "PNG")
    found = decoded(data_uri(stream.getvalue()))
    assert (found.size, found.mode) == ((30, 20), "RGBA")


@pytest.mark.parametrize("data", [b"", b"<svg onload='1'/>", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="no image that Pillow can read"):
        data_uri(data)


def test_a_truncated_picture_is_refused() -> None:
    with pytest.raises(PictureError):
        data_uri(plot()[:-400])
