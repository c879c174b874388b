"""After a weight update vLLM computes what the actor computes, for text and for images.

vLLM starts on dummy weights, as verl starts it, so whatever an update does not restore shows. Two
updates: the first must not make the second impossible. Not covered: bf16, LoRA, several ranks.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import verl  # noqa: F401  # loads the plugin, which mends what vLLM imports
import vllm
from transformers import Qwen2_5_VLForConditionalGeneration
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightSender

from care_verl.data.embedded.charts import Bar, Chart, render
from care_verl.data.embedded.model import build_processor

pytestmark = pytest.mark.slow

EXTENSION = "verl.workers.rollout.vllm_rollout.utils.vLLMColocateWorkerExtension"
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
TEXT = "<|im_start|>user\n{}red plus blue?<|im_end|>\n<|im_start|>assistant\n8<|im_end|>"
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> Iterator[vllm.LLM]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        environment.setenv("VERL_RAY_JOB_ID", uuid.uuid4().hex)
        llm = vllm.LLM(
            str(model_folder),
            load_format="dummy",
            dtype="float32",
            enforce_eager=True,
            max_model_len=128,
            max_num_batched_tokens=256,
            max_num_seqs=4,
            worker_extension_cls=EXTENSION,
        )
        yield llm
        llm.llm_engine.engine_core.shutdown()


def test_two_updates_reach_every_weight(engine: vllm.LLM, model_folder: Path) -> None:
    actor = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder).eval()
    assert max(differences(engine, actor)) > 100 * TOLERANCE
    update(engine, actor)
    assert max(differences(engine, actor)) < TOLERANCE

    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    assert min(differences(engine, actor)) > 100 * TOLERANCE
    update(engine, actor)
    assert max(differences(engine, actor)) < TOLERANCE


def update(engine: vllm.LLM, actor: torch.nn.Module) -> None:
    """Send the weights as verl's rollout adapter does, through shared memory."""
    receiver = threading.Thread(
        target=engine.collective_rpc,
        args=("update_weights_from_ipc",),
        kwargs={"kwargs": {"use_shm": True}},
    )
    receiver.start()
    handle = f"ipc:///tmp/rl-colocate-zmq-{os.environ['VERL_RAY_JOB_ID']}-replica-0-rank-0.sock"
    sender = BucketedWeightSender(handle, bucket_size_mb=16, use_shm=True)
    asyncio.run(sender.async_send_weights(iter(actor.state_dict().items())))
    receiver.join()
    engine.reset_prefix_cache()
    engine.llm_engine.reset_mm_cache()
    engine.llm_engine.reset_encoder_cache()


def differences(engine: vllm.LLM, actor: torch.nn.Module) -> list[float]:
    """Largest difference of token log-probabilities: of a text, and of one with an image."""
    image = render(Chart((Bar("red", 3), Bar("green", 1), Bar("blue", 5))))
    return [
        float((of_actor(actor, *prompt) - of_vllm(engine, *prompt)).abs().max())
        for prompt in ((TEXT.format(""), None), (TEXT.format(IMAGE), image))
    ]


@torch.no_grad()
def of_actor(actor: torch.nn.Module, text: str, image: Any) -> torch.Tensor:
    inputs = build_processor()(
        text=[text], images=[image] if image is not None else None, return_tensors="pt"
    )
    log_probs = actor(**inputs).logits[0, :-1].log_softmax(-1)
    return log_probs.gather(1, inputs["input_ids"][0, 1:, None])[:, 0]


def of_vllm(engine: vllm.LLM, text: str, image: Any) -> torch.Tensor:
    prompt = {"prompt": text} | ({} if image is None else {"multi_modal_data": {"image": image}})
    sampling = vllm.SamplingParams(max_tokens=1, prompt_logprobs=0)
    output = engine.generate([prompt], sampling, use_tqdm=False)[0]
    tokens = zip(output.prompt_logprobs[1:], output.prompt_token_ids[1:], strict=True)
    return torch.tensor([candidates[token].logprob for candidates, token in tokens])
