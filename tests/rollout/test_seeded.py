"""Requests with seeds give the same rollouts whatever company they decode in.

A random Qwen2.5-VL in fp32 on CPU; prompts with and without image, some cut into chunks; prefix
caching; preemption. What this does not prove: anything on CUDA, where kernels depend on the batch
unless vLLM is told otherwise (`VLLM_BATCH_INVARIANT`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor
from verl.plugin.platform import get_platform
from vllm import SamplingParams

from care_verl.data.embedded.charts import render
from care_verl.data.embedded.generator import example

from .engine import Ask, HarvestingEngine, harvesting_engine

pytestmark = pytest.mark.slow

PROMPTS, SESSIONS, LENGTH = 6, 6, 150
BLOCKS, BLOCK = 64, 32

Rollout = tuple[tuple[int, ...], tuple[float, ...], bytes]


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> Iterator[HarvestingEngine]:
    with pytest.MonkeyPatch.context() as patch:
        # As the platform sets them for a rollout server.
        for name, value in get_platform().rollout_env_vars().items():
            patch.setenv(name, value)
        with harvesting_engine(
            model_folder,
            {"think_tag": "think"},
            max_model_len=256,
            max_num_seqs=32,
            # Less than the prompts that come at once: some are cut into chunks.
            max_num_batched_tokens=96,
            # Short of cache: some are preempted and computed again.
            num_gpu_blocks_override=BLOCKS,
            block_size=BLOCK,
        ) as running:
            yield running


def prompts(model_folder: Path) -> list[dict[str, Any]]:
    tokenizer = AutoProcessor.from_pretrained(model_folder).tokenizer
    made = []
    for index in range(PROMPTS):
        task = example(0, "train", index)
        text = task.question.text * (1 + index % 3)
        if index % 2:
            image = f"<|vision_start|><|image_pad|><|vision_end|>{text}"
            ids = {"prompt_token_ids": tokenizer.encode(image)}
            made.append({**ids, "multi_modal_data": {"image": render(task.chart)}})
        else:
            made.append({"prompt_token_ids": tokenizer.encode(text)})
    return made


def ask(prompt: dict[str, Any], seed: int) -> Ask:
    sampling = SamplingParams(
        max_tokens=LENGTH, temperature=1.0, logprobs=0, seed=seed, ignore_eos=True
    )
    return Ask(prompt, sampling, prefilled=True)


def decoded(
    engine: HarvestingEngine, requests: Sequence[tuple[dict[str, Any], int]], size: int
) -> dict[int, Rollout]:
    """Tokens, log-probabilities and embedding by seed, decoded `size` requests at a time."""
    found: dict[int, Rollout] = {}
    for start in range(0, len(requests), size):
        part = requests[start : start + size]
        answers = engine.answer([ask(prompt, seed) for prompt, seed in part])
        for (_, seed), answer in zip(part, answers, strict=True):
            tokens, log_probs = tuple(answer.response_ids), tuple(answer.log_probs)
            found[seed] = (tokens, log_probs, answer.embedding.tobytes())
    return found


def test_rollouts_are_equal_in_any_company(engine: HarvestingEngine, model_folder: Path) -> None:
    """Bit for bit: tokens, log-probabilities and harvested embeddings."""
    made = prompts(model_folder)
    requests = [(prompt, 100 * i + j) for i, prompt in enumerate(made) for j in range(SESSIONS)]
    together = decoded(engine, requests, len(requests))
    assert len({rollout[0] for rollout in together.values()}) == len(requests)
    assert all(any(embedding) for _, _, embedding in together.values())

    shuffled = random.Random(0).sample(requests, len(requests))
    assert engine.metric("vllm:num_preemptions") > 0
    for size in (len(requests), 13, 5, 1):
        some = shuffled if size > 1 else shuffled[:6]
        apart = decoded(engine, some, size)
        for seed, rollout in apart.items():
            assert rollout[0] == together[seed][0], f"tokens of {seed}, {size} at a time"
            assert rollout[1] == together[seed][1], f"log-probabilities of {seed}, {size} at a time"
            assert rollout[2] == together[seed][2], f"embedding of {seed}, {size} at a time"
