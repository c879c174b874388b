"""What a row must keep to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of a row. All are ours but the aspect ratio, which is Qwen2.5-VL's.

    min_pixels, max_pixels: width times height of an image as it is stored.
    max_prompt_tokens: tokens of the prompt in the model's chat template, image tokens included;
        used when a model is named.
    aspect_ratio: longer side over shorter; Qwen2.5-VL's processor refuses more.
    """

    min_pixels: int
    max_pixels: int
    max_prompt_tokens: int
    aspect_ratio: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.min_pixels <= self.max_pixels:
            raise ValueError(
                f"min_pixels = {self.min_pixels}, max_pixels = {self.max_pixels}; "
                "expected 1 <= min_pixels <= max_pixels"
            )
        if self.max_prompt_tokens < 1:
            raise ValueError(f"max_prompt_tokens = {self.max_prompt_tokens}; expected >= 1")
