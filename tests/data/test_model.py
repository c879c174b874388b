"""The embedded model's folder: tokens, template, processor and weights."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from care_verl.algorithm.config import REPAIR_CUE
from care_verl.data.embedded.charts import BARS, render
from care_verl.data.embedded.generator import example
from care_verl.data.embedded.model import build_model, build_processor, save_model
from care_verl.data.embedded.questions import LEVELS

RESPONSE = "<think>red3 blue5</think><answer>15</answer>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("embedded") / "model"
    save_model(path, seed=0)
    return path


def pieces(processor: object, text: str) -> list[str]:
    tokenizer = processor.tokenizer  # type: ignore[attr-defined]
    return [tokenizer.decode([token]) for token in tokenizer(text).input_ids]


def test_each_word_digit_and_tag_is_one_token(folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    expected = ["<think>", "red", "3", " blue", "5", "</think>", "<answer>", "1", "5", "</answer>"]
    assert pieces(processor, RESPONSE) == expected
    for level in LEVELS.values():
        question = level.template.format(*["purple"] * level.operands)
        words = question.replace("?", " ?").split()
        assert [piece.strip() for piece in pieces(processor, question)] == words
    assert len(pieces(processor, REPAIR_CUE)) < 40


@pytest.mark.parametrize("text", [RESPONSE, REPAIR_CUE, "Ünï <b>\x00\n\n 1,234", "\ufffd"])
def test_any_text_survives_the_tokenizer(folder: Path, text: str) -> None:
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_the_vocabulary_is_the_same_at_every_build() -> None:
    first, second = build_processor().tokenizer, build_processor().tokenizer
    assert first.get_vocab() == second.get_vocab()
    assert len(first) < 600


def test_the_prompt_holds_one_placeholder_per_image_token(folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    drawn = example(0, "test", 0)
    content = [{"type": "image", "image": render(drawn.chart)}, {"type": "text", "text": "red?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    image_tokens = int(inputs["image_grid_thw"].prod()) // processor.image_processor.merge_size**2
    assert image_tokens == BARS
    assert int((inputs["input_ids"] == processor.image_token_id).sum()) == image_tokens
    model = AutoModelForImageTextToText.from_pretrained(folder)
    logits = model(**inputs).logits
    assert logits.shape == (1, inputs["input_ids"].shape[1], len(processor.tokenizer))
    assert torch.isfinite(logits).all()


def test_the_model_has_two_million_parameters_and_depends_on_its_seed() -> None:
    tokenizer = build_processor().tokenizer
    state = torch.get_rng_state()
    first, again, other = (build_model(tokenizer, seed) for seed in (0, 0, 1))
    assert 1_500_000 <= sum(weight.numel() for weight in first.parameters()) <= 2_500_000
    assert torch.equal(first.lm_head.weight, again.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)
    assert torch.equal(torch.get_rng_state(), state)
