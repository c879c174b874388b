"""Tokens counted from sizes, against the tokens that the whole processor makes of the pixels."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from qwen_vl_utils import process_vision_info
from transformers import AutoProcessor

from care_verl.data.corpora.token_count import TokenCounter


@pytest.fixture(scope="module")
def counter(model: Path) -> TokenCounter:
    return TokenCounter(str(model))


@pytest.fixture(scope="module")
def processor(model: Path) -> Any:
    return AutoProcessor.from_pretrained(model)


def true_count(processor: Any, text: str, images: list[Image.Image]) -> int:
    """As verl's RLHFDataset has it: resized by qwen_vl_utils, then through the processor."""
    pieces = text.split("<image>")
    content: list[dict[str, Any]] = [{"type": "text", "text": pieces[0]}] if pieces[0] else []
    for image, piece in zip(images, pieces[1:], strict=True):
        content.append({"type": "image", "image": image})
        if piece:
            content.append({"type": "text", "text": piece})
    messages = [{"role": "user", "content": content}]
    chat = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    resized, _ = process_vision_info(
        messages, image_patch_size=processor.image_processor.patch_size, return_video_metadata=True
    )
    return len(processor(text=[chat], images=resized, return_tensors="pt")["input_ids"][0])


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(10, 700), st.integers(10, 700)), min_size=1, max_size=3))
def test_the_count_is_that_of_the_processor(
    counter: TokenCounter, processor: Any, sizes: list[tuple[int, int]]
) -> None:
    text = "<image>" * (len(sizes) - 1) + "red? In <image> blue Ünï?"
    images = [Image.new("RGB", (width, height)) for height, width in sizes]
    assert counter.count(text, sizes) == true_count(processor, text, images)


def test_text_alone_is_counted(counter: TokenCounter) -> None:
    short, long = counter.count("red", []), counter.count("red red red", [])
    assert short is not None
    assert long is not None
    assert short < long


def test_a_question_that_holds_special_tokens_is_not_counted(counter: TokenCounter) -> None:
    assert counter.count("<image>red <|image_pad|>", [(56, 56)]) is None


def test_an_image_that_becomes_too_narrow_is_a_value_error(counter: TokenCounter) -> None:
    with pytest.raises(ValueError, match="aspect ratio"):
        counter.count("<image>red", [(29, 5800)])


def test_a_model_without_images_is_refused(model: Path, tmp_path: Path) -> None:
    AutoProcessor.from_pretrained(model).tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="expected the processor of a vision-language model"):
        TokenCounter(str(tmp_path))
