"""Harvested embeddings against those of transformers, under everything that disturbs vLLM's order.

A random Qwen2.5-VL in fp32; prompts with and without image; chunked prefill, prefix caching, and
a cache so small that requests are preempted again and again; tags of several tokens. What this
does not prove: anything on CUDA, under asynchronous scheduling, or with several workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
from vllm import SamplingParams

from care_verl.algorithm import token_spans
from care_verl.algorithm.spans import TokenSpans
from care_verl.common.vocabulary import vocab_bytes
from care_verl.data.embedded.charts import render
from care_verl.data.embedded.generator import example
from care_verl.grammar import TagSpec

from .engine import Answer, Ask, HarvestingEngine, harvesting_engine

pytestmark = pytest.mark.slow

TAGS = TagSpec(think="t")
"""No token of the vocabulary holds more than one byte of these tags."""
BLOCKS, BLOCK = 12, 32
REQUESTS, ROLLOUTS = 36, 4
LONGEST = 120
SITUATIONS = {"closed", "unclosed", "never opened", "one token"}


class Oracle:
    """transformers' final hidden states of a whole sequence, pooled by the rule of `spans`."""

    def __init__(self, folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.model = model.eval()
        self.pieces = vocab_bytes(self.processor.tokenizer)

    def spans(self, answer: Answer) -> TokenSpans:
        """Of the tokens that were fed: all but the last one."""
        fed = [self.pieces[token] for token in answer.response_ids[:-1]]
        return token_spans(fed, TAGS, prefilled=answer.ask.prefilled)

    @torch.no_grad()
    def embedding(self, answer: Answer) -> tuple[torch.Tensor, int]:
        rationale = self.spans(answer).rationale or (0, 0)
        ids = torch.tensor([answer.prompt_ids + answer.response_ids])
        states = self.model.model(input_ids=ids, **self._vision(answer)).last_hidden_state[0]
        begin, end = (len(answer.prompt_ids) + offset for offset in rationale)
        if begin == end:
            return torch.zeros(states.shape[-1]), 0
        pooled = states[begin:end].double().mean(dim=0)
        return torch.nn.functional.normalize(pooled, dim=0), end - begin

    def _vision(self, answer: Answer) -> dict[str, Any]:
        if "multi_modal_data" not in answer.ask.prompt:
            return {}
        image = answer.ask.prompt["multi_modal_data"]["image"]
        inputs = self.processor(text="<|image_pad|>", images=[image], return_tensors="pt")
        ids = torch.tensor([answer.prompt_ids + answer.response_ids])
        is_image = (ids == self.model.config.image_token_id).long()
        return {
            "pixel_values": inputs["pixel_values"],
            "image_grid_thw": inputs["image_grid_thw"],
            "mm_token_type_ids": is_image,
        }


@pytest.fixture(scope="module")
def oracle(model_folder: Path) -> Oracle:
    return Oracle(model_folder)


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> Iterator[HarvestingEngine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        with harvesting_engine(
            model_folder,
            {"think_tag": TAGS.think},
            max_model_len=256,
            max_num_seqs=16,
            max_num_batched_tokens=32,
            enable_chunked_prefill=True,
            enable_prefix_caching=True,
            num_gpu_blocks_override=BLOCKS,
            block_size=BLOCK,
        ) as running:
            yield running


def asks(oracle: Oracle) -> list[Ask]:
    tokenizer = oracle.processor.tokenizer
    result = []
    for index in range(REQUESTS):
        prompt = _prompt(oracle, index)
        length = 1 + (37 * index) % LONGEST
        sampling = SamplingParams(
            max_tokens=length, temperature=1.0, logit_bias=_tag_bias(tokenizer, index)
        )
        result.append(Ask(prompt, sampling, prefilled=index % 3 == 0, tagged=index % 7 != 6))
    return result


def _prompt(oracle: Oracle, index: int) -> dict[str, Any]:
    group = index // ROLLOUTS
    task = example(0, "train", group)
    # Longer than a block of the cache, so that rollouts of a prompt find it there.
    text = task.question.text * (8 + group % 4)
    if group % 2:
        chat = f"<|vision_start|><|image_pad|><|vision_end|>{text}"
        image = render(task.chart)
        ids = oracle.processor.tokenizer.encode(chat)
        return {"prompt_token_ids": ids, "multi_modal_data": {"image": image}}
    return {"prompt_token_ids": oracle.processor.tokenizer.encode(text)}


def _tag_bias(tokenizer: Any, index: int) -> dict[int, float]:
    """Make tags out of a model that writes nothing in particular; every 12th ends at once."""
    weights = {"<": 10.0, "t": 10.0, ">": 10.0, "/": 10.0, "red": 8.0}
    bias = {tokenizer.convert_tokens_to_ids(token): value for token, value in weights.items()}
    bias[tokenizer.eos_token_id] = 50.0 if index % 12 == 0 else 4.0
    return bias


def cosine_distance(one: np.ndarray, other: torch.Tensor) -> float:
    return float(1 - torch.from_numpy(one).double() @ other.double())


def test_embeddings_agree_with_transformers(engine: HarvestingEngine, oracle: Oracle) -> None:
    seen: set[str] = set()
    for _ in range(4):
        for answer in engine.answer(asks(oracle)):
            if answer.ask.tagged:
                compare(answer, oracle)
                seen |= _situation(oracle.spans(answer), answer)
        # Tags come by chance: a round may lack a situation.
        if seen == SITUATIONS:
            break
    assert seen == SITUATIONS
    assert engine.metric("vllm:num_preemptions") >= 10
    assert engine.metric("vllm:prefix_cache_hits") > 0


def compare(answer: Answer, oracle: Oracle) -> None:
    assert answer.harvested is not None
    expected, tokens = oracle.embedding(answer)
    assert answer.harvested.tokens == tokens
    if tokens:
        assert cosine_distance(answer.embedding, expected) <= 1e-6
    else:
        assert not answer.embedding.any()


def _situation(spans: TokenSpans, answer: Answer) -> set[str]:
    if len(answer.response_ids) == 1:
        return {"one token"}
    if spans.rationale is None:
        return {"never opened"}
    if spans.rationale[0] == spans.rationale[1]:
        return set()
    return {"closed" if spans.think_close else "unclosed"}
