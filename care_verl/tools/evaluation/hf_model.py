"""LMMs-Eval's model for `--backend hf`: any image-text model of transformers, a question at a time.

Its own `huggingface` passes arguments that transformers 5 refuses, its models for Qwen bring a
system prompt or bounds for images, all of them load in bfloat16, and generate with whatever penalty
the model's `generation_config.json` sets. This one asks and decodes as the vLLM backends do.
Imported in LMMs-Eval's environment alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages
from tqdm import tqdm
from transformers import AutoModelForImageTextToText, AutoProcessor

_NEUTRAL = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "num_beams": 1}
# LMMs-Eval's words; our progress reads them.
_BAR = "Model Responding"


class TransformersModel(lmms):  # type: ignore[misc]
    """A model of transformers'. Constructed by LMMs-Eval from `--model_args`."""

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        dtype: str = "auto",
        device_map: str = "auto",
        device: str | None = None,
        batch_size: int | str = 1,
    ) -> None:
        super().__init__()
        del device, batch_size
        self.processor = AutoProcessor.from_pretrained(pretrained)
        self.model = AutoModelForImageTextToText.from_pretrained(
            pretrained, dtype=dtype, device_map=device_map
        ).eval()

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """One response to each request, special tokens left out."""
        return [self._response(request) for request in tqdm(requests, desc=_BAR)]

    def _response(self, request: Instance) -> str:
        _, messages_of, settings, row, task, split = request.args
        messages = ChatMessages(messages=messages_of(self.task_dict[task][split][row]))
        inputs = self.processor.apply_chat_template(
            messages.to_hf_messages(),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(self.model.device)
        with torch.inference_mode():
            output = self.model.generate(**inputs, **_generation(settings))
        new = output[0, inputs["input_ids"].shape[1] :]
        text: str = self.processor.tokenizer.decode(new, skip_special_tokens=True)
        return text

    def loglikelihood(self, requests: Sequence[Instance]) -> NoReturn:
        """Not asked for by our tasks."""
        raise NotImplementedError("log-likelihoods of a model of transformers'")

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> NoReturn:
        """Not asked for by our tasks."""
        raise NotImplementedError("several rounds with a model of transformers'")


def _generation(settings: dict[str, Any]) -> dict[str, Any]:
    """Arguments for `generate` that leave nothing to the model's own file but its end tokens."""
    wanted: dict[str, Any] = {**_NEUTRAL, "max_new_tokens": settings["max_new_tokens"]}
    if not settings["temperature"]:
        return {**wanted, "do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    sampling = {"temperature": settings["temperature"], "top_p": settings["top_p"], "top_k": 0}
    return {**wanted, "do_sample": True, **sampling}
