"""How many tokens a prompt has for a model, its images' included, without touching a pixel."""

import threading
from collections.abc import Sequence
from typing import Any

from care_verl import platform
from care_verl.data.columns import IMAGE_PLACEHOLDER


class TokenCounter:
    """Counts as verl does when it filters long prompts, from the sizes of the images alone.

    verl hands every image through `qwen_vl_utils`, which brings its sides to whole patches, before
    the model's processor resizes it by its own limits; both steps are followed here.
    """

    def __init__(self, model: str) -> None:
        """Load the processor of `model`, a folder or a hub id.

        Raises ValueError when the model has no processor of images that can tell the number of its
        tokens from an image's size.
        """
        # The processors of transformers import torchvision, which needs help on a CPU.
        platform.install()
        from transformers import AutoProcessor

        expected = "expected the processor of a vision-language model such as Qwen2.5-VL"
        try:
            self._processor: Any = AutoProcessor.from_pretrained(model)
        except (OSError, ValueError) as error:
            raise ValueError(f"{model}: no processor ({error}); {expected}") from error
        if not hasattr(self._processor, "_get_num_multimodal_tokens"):
            found = type(self._processor).__name__
            raise ValueError(f"{model}: {found} cannot tell an image's tokens; {expected}")
        self._factor = self._whole_patch()
        # A tokenizer is not to be called by two threads at once.
        self._lock = threading.Lock()

    def count(self, text: str, sizes: Sequence[tuple[int, int]]) -> int | None:
        """Tokens of the user message `text` in the chat template, generation prompt included.

        sizes: (height, width) in pixels of the images that the placeholders in `text` stand for.
        Returns None when the text does not hold one place for an image per placeholder, because it
        contains the model's own special tokens.
        """
        with self._lock:
            ids = self._processor.tokenizer(self._chat(text), add_special_tokens=False)["input_ids"]
        if ids.count(self._processor.image_token_id) != len(sizes):
            return None
        if not sizes:
            return len(ids)
        resized = [self._resized(height, width) for height, width in sizes]
        counts = self._processor._get_num_multimodal_tokens(image_sizes=resized)
        return len(ids) - len(sizes) + sum(counts["num_image_tokens"])

    def _chat(self, text: str) -> str:
        content: list[dict[str, str]] = []
        for number, piece in enumerate(text.split(IMAGE_PLACEHOLDER)):
            if number:
                content.append({"type": "image"})
            if piece:
                content.append({"type": "text", "text": piece})
        message = [{"role": "user", "content": content}]
        return str(
            self._processor.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        )

    def _whole_patch(self) -> int:
        from qwen_vl_utils.vision_process import SPATIAL_MERGE_SIZE

        return int(self._processor.image_processor.patch_size * SPATIAL_MERGE_SIZE)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        from qwen_vl_utils.vision_process import smart_resize

        return smart_resize(height, width, factor=self._factor)
