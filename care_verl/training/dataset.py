"""Images of training rows are decoded where their rollouts are made.

verl's dataset decodes them in the trainer's own process, so one broken image ends the run. Here
they travel as the bytes they are stored as, and a broken one fails only its group.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from omegaconf import DictConfig
from PIL import Image
from verl.utils.dataset.rl_dataset import RLHFDataset

from care_verl.platform.places import DATASET
from care_verl.platform.seam import Seam
from care_verl.training.messages import ENCODED

RELIES_ON = (
    Seam(
        f"{DATASET}._build_messages",
        "images are opened where they have bytes",
        'if "bytes" in image:',
        'content_list.append({"type": "image", **image})',
    ),
    Seam(
        f"{DATASET}.process_multi_modal_info",
        "agent loops decode through the dataset's class",
        "cls._process_multi_modal_info(messages",
    ),
)


class CareDataset(RLHFDataset):  # type: ignore[misc]
    """verl's dataset for a CARE run; `data.custom_cls` of the user's own takes its place."""

    def _build_messages(self, example: dict[str, Any], key: str) -> list[dict[str, Any]]:
        images = [_still_encoded(image) for image in example.get(self.image_key) or []]
        messages: list[dict[str, Any]] = super()._build_messages(
            {**example, self.image_key: images}, key
        )
        return messages

    @classmethod
    def _process_multi_modal_info(
        cls, messages: list[dict[str, Any]], image_patch_size: int, config: DictConfig
    ) -> tuple[Any, Any, Any]:
        """As verl's. Raises ValueError for an image that cannot be decoded."""
        decoded = [{**message, "content": _decoded(message["content"])} for message in messages]
        media: tuple[Any, Any, Any] = super()._process_multi_modal_info(
            decoded, image_patch_size, config
        )
        return media


def _still_encoded(image: Any) -> Any:
    """An image of a row without the key `bytes`, which makes verl open it. A path stays one."""
    if not isinstance(image, dict) or "bytes" not in image:
        return image
    rest = {name: value for name, value in image.items() if name not in ("bytes", "path")}
    if image["bytes"] is None:
        return {**rest, "image": image["path"]}
    return {**rest, ENCODED: image["bytes"]}


def _decoded(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [_with_image(part) if ENCODED in part else part for part in content]


def _with_image(part: dict[str, Any]) -> dict[str, Any]:
    encoded = part[ENCODED]
    try:
        image = Image.open(BytesIO(encoded))
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"an image of {len(encoded)} bytes that begin with {encoded[:8]!r} cannot be decoded "
            f"({error}); expected a whole PNG, JPEG or other file that Pillow reads"
        ) from error
    return {**{name: value for name, value in part.items() if name != ENCODED}, "image": image}
