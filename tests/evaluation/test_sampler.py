"""The sampler over transformers, with a model of random weights.

That vLLM answers the same is for the end-to-end tests to show.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from care_verl.data.embedded.generator import example
from care_verl.data.embedded.rows import rl_row
from care_verl.tools.demo.evaluate import conversation
from care_verl.tools.evaluation.sampler import Sampler, settings

QUESTIONS = [conversation(rl_row(example(5, "test", index))) for index in range(5)]


@pytest.fixture(scope="module")
def sampler(model_folder: Path) -> Sampler:
    return Sampler(str(model_folder), dtype=torch.float32)


def test_a_batch_answers_as_its_questions_one_by_one(sampler: Sampler) -> None:
    """Questions of unequal length are padded on the left."""
    greedy = settings(6, temperature=0)
    assert sampler.processor.tokenizer.padding_side == "left"
    together = sampler.responses(QUESTIONS, greedy)
    alone = [sampler.responses([question], greedy)[0] for question in QUESTIONS]
    assert together == alone
    assert any(text for (text,) in together)


def test_samples_stand_beside_their_question(sampler: Sampler) -> None:
    """At a temperature near 0 the three samples of a question are its greedy response."""
    cold = sampler.responses(QUESTIONS, settings(6, temperature=1e-4), samples=3)
    greedy = sampler.responses(QUESTIONS, settings(6, temperature=0))
    assert cold == [[text] * 3 for (text,) in greedy]


def test_placeholders_are_no_end(sampler: Sampler) -> None:
    found = sampler.processor.tokenizer.convert_ids_to_tokens(sampler.placeholders())
    assert "<|image_pad|>" in found
    assert sampler.processor.tokenizer.eos_token not in found
