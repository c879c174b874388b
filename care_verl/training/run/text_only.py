"""Micro-batches of rows without an image, which verl 0.9.1 cannot run on Qwen2-VL and Qwen2.5-VL.

verl lets an empty image through the vision tower there, so that every rank of FSDP runs it, and
adds 0 times its mean. Since transformers 5 the tower returns an object around the features, which
verl unpacks for real images only: `'BaseModelOutputWithPooling' object has no attribute 'mean'`.
Remove with a verl that unpacks both.
"""

from __future__ import annotations

import functools
from types import ModuleType, SimpleNamespace
from typing import Any

from verl.utils.transformers_compat import unpack_visual_output

from care_verl.platform.contract import require_parameters, require_source
from care_verl.platform.seam import Seam

MODULE = "verl.models.transformers.qwen2_vl"
"""What of verl is patched; it imports the models, so only a run of such a model imports it."""

_PATCHED = "_care_verl_unpacks"
_PARAMETERS = (
    *("model", "input_ids", "attention_mask", "pixel_values", "pixel_values_videos"),
    *("image_grid_thw", "video_grid_thw"),
)
_WITHOUT_MEDIA = "if pixel_values is None and pixel_values_videos is None:"
_EMPTY_IMAGE = "image_embeds = model.visual(pixel_values, grid_thw=image_grid_thw)"


RELIES_ON = (
    Seam(
        "verl.models.transformers.qwen2_vl:qwen2_vl_base_forward",
        "a micro-batch without an image is embedded by way of an empty one",
        "_get_input_embeds(",
    ),
)


def run_without_images(module: ModuleType) -> None:
    """Make the embedding of inputs in `MODULE` unpack the features of its empty image, once.

    Raises ContractError where verl's function is not as known.
    """
    embed = module._get_input_embeds
    if hasattr(embed, _PATCHED):
        return
    require_parameters(embed, *_PARAMETERS)
    require_source(embed, _WITHOUT_MEDIA, _EMPTY_IMAGE)

    @functools.wraps(embed)
    def _get_input_embeds(
        model: Any,
        input_ids: Any,
        attention_mask: Any = None,
        pixel_values: Any = None,
        pixel_values_videos: Any = None,
        *grids: Any,
    ) -> Any:
        if pixel_values is None and pixel_values_videos is None:
            model = _with_features(model)
        return embed(model, input_ids, attention_mask, pixel_values, pixel_values_videos, *grids)

    setattr(_get_input_embeds, _PATCHED, True)
    vars(module)["_get_input_embeds"] = _get_input_embeds


def _with_features(model: Any) -> Any:
    """What verl's function takes of a model, with a tower that returns the features alone."""
    return SimpleNamespace(
        config=model.config,
        get_input_embeddings=model.get_input_embeddings,
        visual=lambda *args, **kwargs: unpack_visual_output(model.visual(*args, **kwargs))[0],
    )
