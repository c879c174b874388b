"""LMMs-Eval's model for `--backend hf`: any image-text model of transformers, a question at a time.

Its own `huggingface` passes arguments that transformers 5 refuses, its models for Qwen bring a
system prompt or bounds for images, all of them load in bfloat16, and generate with whatever penalty
the model's `generation_config.json` sets. This one asks and decodes as the vLLM backends do.
Imported in LMMs-Eval's environment alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages
from tqdm import tqdm

from care_verl.tools.evaluation.sampler import Sampler, settings

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
        self.sampler = Sampler(pretrained, dtype=dtype, device_map=device_map)

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """One response to each request, special tokens left out."""
        return [self._response(request) for request in tqdm(requests, desc=_BAR)]

    def _response(self, request: Instance) -> str:
        _, messages_of, wanted, row, task, split = request.args
        messages = ChatMessages(messages=messages_of(self.task_dict[task][split][row]))
        generation = settings(wanted["max_new_tokens"], wanted["temperature"], wanted["top_p"])
        ((text,),) = self.sampler.responses([messages.to_hf_messages()], generation)
        return text

    def loglikelihood(self, requests: Sequence[Instance]) -> NoReturn:
        """Not asked for by our tasks."""
        raise NotImplementedError("log-likelihoods of a model of transformers'")

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> NoReturn:
        """Not asked for by our tasks."""
        raise NotImplementedError("several rounds with a model of transformers'")
