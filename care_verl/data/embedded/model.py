"""The embedded model: a randomly initialised Qwen2.5-VL of about two million parameters.

Transformers' own classes, small shapes. Heads are 32 wide, the narrowest that vLLM's attention on
CPU supports; few layers, because on CPU a decode step costs a fixed time per layer.
"""

from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from care_verl.data.embedded.charts import SIZE
from care_verl.data.embedded.tokenizer import (
    END_OF_TEXT,
    IMAGE_PAD,
    TURN_END,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    build_tokenizer,
)

_HEAD = 32
_HEADS = 4
_WIDTH = _HEAD * _HEADS
_TEXT_LAYERS = 3
_VISION_LAYERS = 2
_PATCH = 14
_POSITIONS = 1024
# Transformers' default spread of 0.02 is made for widths of thousands: at this width it leaves the
# first hundreds of steps without a signal.
_INIT_SPREAD = 0.05


def save_model(folder: Path, seed: int) -> None:
    """Write model, tokenizer and processor to `folder` as transformers and vLLM load them."""
    processor = build_processor()
    model = build_model(processor.tokenizer, seed)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def build_processor() -> Qwen2_5_VLProcessor:
    """The processor: charts pass at their own size, one vision token a bar."""
    tokenizer = build_tokenizer()
    pixels = {"shortest_edge": SIZE[0] * SIZE[1], "longest_edge": SIZE[0] * SIZE[1]}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=_PATCH, size=dict(pixels)),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(patch_size=_PATCH, size=dict(pixels)),
        chat_template=tokenizer.chat_template,
    )


def build_model(tokenizer: Qwen2Tokenizer, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """The model in fp32; equal seeds give equal weights, torch's own generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(_config(tokenizer))
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model


def _config(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLConfig:
    token_id = tokenizer.get_vocab().__getitem__
    return Qwen2_5_VLConfig(
        architectures=["Qwen2_5_VLForConditionalGeneration"],
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": _WIDTH,
            "intermediate_size": 4 * _WIDTH,
            "num_hidden_layers": _TEXT_LAYERS,
            "num_attention_heads": _HEADS,
            "num_key_value_heads": _HEADS // 2,
            "max_position_embeddings": _POSITIONS,
            "initializer_range": _INIT_SPREAD,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [4, 6, 6],
            },
            "bos_token_id": None,
            "eos_token_id": token_id(TURN_END),
            "pad_token_id": token_id(END_OF_TEXT),
            "dtype": "float32",
        },
        vision_config={
            "depth": _VISION_LAYERS,
            "hidden_size": _WIDTH,
            "intermediate_size": 2 * _WIDTH,
            "num_heads": _HEADS,
            "patch_size": _PATCH,
            "out_hidden_size": _WIDTH,
            "fullatt_block_indexes": list(range(_VISION_LAYERS)),
            "initializer_range": _INIT_SPREAD,
        },
        image_token_id=token_id(IMAGE_PAD),
        video_token_id=token_id(VIDEO_PAD),
        vision_start_token_id=token_id(VISION_START),
        vision_end_token_id=token_id(VISION_END),
        tie_word_embeddings=False,
        dtype="float32",
    )
