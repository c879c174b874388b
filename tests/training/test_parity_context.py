"""A row scored under another context than it was decoded in is caught.

A reflection is decoded by vLLM after prompt, image and prefix, published by the code that publishes
it in a run, and scored by transformers as the actor scores it, once as published and once with each
fault planted. A random model in fp32: a trained one would be further apart under a wrong context,
not closer. What this does not prove: that the actor runs this forward pass (the end-to-end test
measures the same distance there).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL.Image import Transpose
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.workers.utils.padding import response_from_nested
from vllm import LLM, SamplingParams

from care_verl.algorithm import CareConfig
from care_verl.algorithm.config import RgrConfig
from care_verl.algorithm.parity import ScoredRow, parity_metrics
from care_verl.common.vocabulary import vocab_bytes
from care_verl.data.embedded.charts import render
from care_verl.data.embedded.generator import example
from care_verl.training.care.group_stage import reflected_output
from care_verl.training.care.reflection_prompts import ReflectionPrompts

from .samples import agent_output

pytestmark = pytest.mark.slow

CUE = "Look again."
ROOM = 48
CLOSE = 1e-3
"""Rounding of two implementations in fp32 is below this, the weakest planted fault above."""


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> Iterator[LLM]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        llm = LLM(str(model_folder), dtype="float32", enforce_eager=True, max_model_len=256, seed=0)
        yield llm
        llm.llm_engine.engine_core.shutdown()


class Actor:
    """transformers' model, scoring a row as verl's engine does."""

    def __init__(self, model_folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(model_folder)
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            model_folder, dtype=torch.float32
        )
        self.model = model.eval()

    @torch.no_grad()
    def whole(self, row: AgentLoopOutput, image: Any) -> torch.Tensor:
        """[P + T]: at each position, the log-probability of the token that follows it."""
        vision = self.processor(text="<|image_pad|>", images=[image], return_tensors="pt")
        ids = torch.tensor([row.prompt_ids + row.response_ids])
        logits = self.model(
            input_ids=ids,
            pixel_values=vision["pixel_values"],
            image_grid_thw=vision["image_grid_thw"],
            mm_token_type_ids=(ids == self.model.config.image_token_id).long(),
        ).logits[0]
        following = ids[0].roll(-1)
        return logits.log_softmax(-1).gather(1, following[:, None])[:, 0]


@pytest.fixture(scope="module")
def actor(model_folder: Path) -> Actor:
    return Actor(model_folder)


def parity(row: AgentLoopOutput, whole: torch.Tensor) -> float:
    """The largest gap over the row's decoded tokens, given what `Actor.whole` found."""
    mask = torch.tensor(row.response_mask)
    nested = [torch.nested.as_nested_tensor([part], layout=torch.jagged) for part in (whole, mask)]
    scored = response_from_nested(*nested).unbind()[0]
    assert row.response_logprobs is not None
    sampled = torch.tensor(row.response_logprobs)
    found = parity_metrics([ScoredRow(sampled, scored, mask, ("reflected",))])
    assert found["tokens"] == sum(row.response_mask) > 4
    return found["reflected_max"]


def without(row: AgentLoopOutput, start: int, stop: int) -> AgentLoopOutput:
    """The row as if response tokens [start, stop) had never been there."""
    assert row.response_logprobs is not None
    columns = (row.response_ids, row.response_mask, row.response_logprobs)
    ids, mask, log_probs = ([*column[:start], *column[stop:]] for column in columns)
    return row.model_copy(
        update={"response_ids": ids, "response_mask": mask, "response_logprobs": log_probs}
    )


def decode(engine: LLM, prompt_ids: list[int], image: Any, seed: int, tokens: int) -> Any:
    # A random model also writes placeholders, which no context may hold without their image.
    special = dict.fromkeys(engine.get_tokenizer().all_special_ids, -100.0)
    sampling = SamplingParams(
        max_tokens=tokens, temperature=1.0, seed=seed, logprobs=0, logit_bias=special
    )
    prompt: Any = {"prompt_token_ids": prompt_ids, "multi_modal_data": {"image": image}}
    (output,) = engine.generate([prompt], [sampling], use_tqdm=False)
    answer = output.outputs[0]
    log_probs = [
        entry[token].logprob for entry, token in zip(answer.logprobs, answer.token_ids, strict=True)
    ]
    return SimpleNamespace(token_ids=list(answer.token_ids), log_probs=log_probs, extra_fields={})


@pytest.mark.parametrize("task", [0, 1, 2])
def test_only_the_context_of_the_decode_gives_its_log_probabilities(
    engine: LLM, actor: Actor, task: int
) -> None:
    tokenizer = actor.processor.tokenizer
    asked = example(0, "train", task)
    image = render(asked.chart)
    chat = f"<|vision_start|><|image_pad|><|vision_end|>{asked.question.text}"
    prompt_ids = actor.processor(text=chat, images=[image])["input_ids"][0]
    prompt_ids = [int(token) for token in prompt_ids]
    collapsed = tokenizer.encode(chat)

    failed = decode(engine, collapsed, image, seed=task, tokens=12)
    source = agent_output(failed.token_ids, prompt_ids=prompt_ids, response_logprobs=None)
    source = source.model_copy(update={"response_logprobs": failed.log_probs})
    care = CareConfig(rgr=RgrConfig(cue=CUE, min_new_tokens=14))
    prompts = ReflectionPrompts(tokenizer, actor.processor, care, vocab_bytes(tokenizer))
    prefix = prompts.prefix(source, prefilled=False, budget=ROOM).ids
    assert prefix is not None
    decoded = decode(engine, collapsed + prefix, image, seed=99, tokens=ROOM - len(prefix))
    row = reflected_output(source, prefix, decoded, ROOM, seconds=0.0)

    scored = actor.whole(row, image)
    assert parity(row, scored) < CLOSE

    cue = len(tokenizer.encode(CUE))
    cueless = without(row, len(prefix) - cue - 1, len(prefix) - 1)
    bare = without(row, 0, len(prefix))
    other = image.transpose(Transpose.FLIP_LEFT_RIGHT)
    wrong = {
        "cue left out": parity(cueless, actor.whole(cueless, image)),
        "prefix left out": parity(bare, actor.whole(bare, image)),
        "one token late": parity(row, scored.roll(1)),
        "one token early": parity(row, scored.roll(-1)),
        "another image": parity(row, actor.whole(row, other)),
    }
    assert min(wrong.values()) > 2 * CLOSE, wrong
