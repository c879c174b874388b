"""The bytes of tokens, on a tokenizer of Qwen's kind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from care_verl.common.vocabulary import end_token_ids, vocab_bytes
from care_verl.data.embedded.tokenizer import build_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return build_tokenizer()


@pytest.mark.parametrize(
    "text", ["<think>red=1 blue=2</think> <answer>3</answer>", "Höhe ≤ 9\n\t\x00 🙂", "</thi nk>"]
)
def test_a_texts_tokens_spell_its_bytes(tokenizer: Any, text: str) -> None:
    pieces = vocab_bytes(tokenizer)
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert b"".join(pieces[index] for index in ids) == text.encode()


def test_only_tokens_that_end_a_response_are_empty(tokenizer: Any) -> None:
    pieces = vocab_bytes(tokenizer)
    assert len(pieces) == len(tokenizer)
    empty = {index for index, piece in enumerate(pieces) if not piece}
    assert empty == {tokenizer.eos_token_id, tokenizer.pad_token_id}
    vision = tokenizer.convert_tokens_to_ids("<|vision_start|>")
    assert pieces[vision] == b"<|vision_start|>"
    assert not vocab_bytes(tokenizer, [vision])[vision]


def test_other_tokenizers_are_refused() -> None:
    backend = Tokenizer(models.BPE({"▁a": 0}, []))
    backend.decoder = decoders.Metaspace()
    with pytest.raises(ValueError, match=r"decodes with \['Metaspace'\]"):
        vocab_bytes(PreTrainedTokenizerFast(tokenizer_object=backend))


@pytest.mark.parametrize(("ids", "expected"), [(None, []), (7, [7]), ([7, 8], [7, 8])])
def test_end_tokens_of_a_generation_config(ids: Any, expected: list[int]) -> None:
    assert end_token_ids(SimpleNamespace(eos_token_id=ids)) == expected
    assert end_token_ids(None) == []
