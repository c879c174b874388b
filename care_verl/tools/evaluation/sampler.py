"""Responses of an image-text model of transformers: for `--backend hf`, and for the demo.

They are decoded by code that neither trained the model nor decoded its rollouts, and nothing but
end tokens is taken from the model's `generation_config.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

_NEUTRAL = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "num_beams": 1}


class Sampler:
    """A model ready to answer; `loading` are arguments of its `from_pretrained`."""

    def __init__(self, model: str, **loading: Any) -> None:
        self.processor = AutoProcessor.from_pretrained(model)
        self.processor.tokenizer.padding_side = "left"
        self.model = AutoModelForImageTextToText.from_pretrained(model, **loading).eval()

    def responses(
        self,
        conversations: Sequence[Sequence[Mapping[str, Any]]],
        generation: Mapping[str, Any],
        samples: int = 1,
    ) -> list[list[str]]:
        """`samples` texts for each conversation, decoded in one batch, special tokens left out.

        conversations: messages as the processor's chat template takes them, images included.
        generation: arguments of `generate`, as `settings` makes them.
        """
        inputs = self.processor.apply_chat_template(
            conversations,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        ).to(self.model.device)
        with torch.inference_mode():
            output = self.model.generate(**inputs, **generation, num_return_sequences=samples)
        new = output[:, inputs["input_ids"].shape[1] :]
        texts: list[str] = self.processor.tokenizer.batch_decode(new, skip_special_tokens=True)
        return [texts[start : start + samples] for start in range(0, len(texts), samples)]

    def placeholders(self) -> list[int]:
        """Special tokens that end nothing, such as those that stand for image features."""
        tokenizer, end = self.processor.tokenizer, self.model.generation_config.eos_token_id
        ends = set(end) if isinstance(end, list) else {end}
        return [token for token in tokenizer.all_special_ids if token not in ends]


def settings(max_new_tokens: int, temperature: float, top_p: float = 1.0) -> dict[str, Any]:
    """Arguments of `generate` that leave nothing to the model's own file but its end tokens.

    A temperature of 0 is greedy.
    """
    wanted: dict[str, Any] = {**_NEUTRAL, "max_new_tokens": max_new_tokens}
    if not temperature:
        return {**wanted, "do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    sampling = {"temperature": temperature, "top_p": top_p, "top_k": 0}
    return {**wanted, "do_sample": True, **sampling}
