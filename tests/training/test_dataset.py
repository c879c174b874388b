"""Rows with good and broken images through CARE's dataset and, as in an agent loop, back to images.

What becomes of a broken row's group is shown end to end.
"""

from __future__ import annotations

import asyncio
import io
import pickle
from pathlib import Path
from typing import Any

import datasets
import pytest
from omegaconf import OmegaConf
from PIL import Image

from care_verl.training.dataset import CareDataset

SIZE = (56, 28)


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", SIZE, (200, 10, 30)).save(stream, "PNG")
    return stream.getvalue()


def row(image: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Look."}, {"role": "user", "content": "<image>red?"}]
    return {"prompt": messages, "images": [image], "data_source": "x", "extra_info": {"index": 3}}


def item(image: Any) -> dict[str, Any]:
    """What the trainer draws from the dataset."""
    dataset: Any = object.__new__(CareDataset)
    dataset.dataframe = datasets.Dataset.from_list([row(image)])
    dataset.processor = object()
    dataset.prompt_key, dataset.image_key = "prompt", "images"
    dataset.video_key, dataset.audio_key = "videos", "audios"
    dataset.need_tools_kwargs = False
    drawn: dict[str, Any] = dataset[0]
    return drawn


def images_of(messages: Any) -> Any:
    """What an agent loop makes of the messages that reach it through Ray."""
    config = OmegaConf.create({})
    arrived = pickle.loads(pickle.dumps(messages))
    media = CareDataset.process_multi_modal_info(arrived, image_patch_size=14, config=config)
    return asyncio.run(media)[0]


def test_a_message_may_have_no_content() -> None:
    """As an assistant's that only calls a tool."""
    asked = item({"bytes": png()})["raw_prompt"]
    (image,) = images_of([{"role": "assistant", "content": None}, *asked])
    assert image.mode == "RGB"


def test_an_image_arrives_as_it_was_stored() -> None:
    (image,) = images_of(item({"bytes": png()})["raw_prompt"])
    assert image.mode == "RGB"
    assert image.getpixel((5, 5)) == (200, 10, 30)


def test_messages_can_be_read_by_all_sessions_of_a_group() -> None:
    messages = item({"bytes": png()})["raw_prompt"]
    assert [len(images_of(messages)) for _ in range(3)] == [1, 1, 1]
    assert messages[1]["content"][1] == {"type": "text", "text": "red?"}


@pytest.mark.parametrize("broken", [b"no image at all", png()[:60], png()[:80], b""])
def test_a_broken_image_fails_in_the_session_not_in_the_trainer(broken: bytes) -> None:
    messages = item({"bytes": broken})["raw_prompt"]
    with pytest.raises(ValueError, match=rf"an image of {len(broken)} bytes .* cannot be decoded"):
        images_of(messages)


def test_a_missing_file_fails_in_the_session_too(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.png")
    messages = item({"bytes": None, "path": missing})["raw_prompt"]
    with pytest.raises(FileNotFoundError, match="missing.png"):
        images_of(messages)


def test_an_image_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "there.png"
    path.write_bytes(png())
    for stored in ({"bytes": None, "path": str(path)}, {"image": str(path)}):
        (image,) = images_of(item(stored)["raw_prompt"])
        assert image.getpixel((5, 5)) == (200, 10, 30)
