"""The bytes behind every token id of a Hugging Face fast tokenizer.

Tags are found in a response's bytes (`care_verl.grammar`), because a token's text alone
does not exist: a byte-level token may hold half a character. Only a tokenizer object is needed
here, so that trainer and rollout worker share one definition.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any


def vocab_bytes(tokenizer: Any, end_token_ids: Collection[int] = ()) -> list[bytes]:
    """Bytes of each token id, V of them; an id that is not in use has `b""`.

    **Settled**: only tokens that end a response have `b""` among those in use: the tokenizer's
    end-of-sequence and padding tokens, and `end_token_ids` (a model may stop at others: see the
    function of that name). Any other special token, such as Qwen's box markers, is content and has
    the bytes of its name, for a response goes on behind it.

    Raises:
        ValueError: the tokenizer is no byte-level BPE, so its tokens' bytes are not known.
    """
    _require_byte_level(tokenizer)
    byte_of = {character: byte for byte, character in _byte_characters()}
    added = {index: token.content for index, token in tokenizer.added_tokens_decoder.items()}
    vocabulary = tokenizer.get_vocab()
    pieces = [b""] * (max(vocabulary.values()) + 1)
    for token, index in vocabulary.items():
        if index in added:
            pieces[index] = added[index].encode()
        else:
            pieces[index] = _decode(token, byte_of)
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id, *end_token_ids} - {None}
    for index in ends:
        if index < len(pieces):
            pieces[index] = b""
    return pieces


def piece_of(token: int, vocabulary: Sequence[bytes]) -> bytes:
    """A token's bytes; a model's vocabulary may be padded beyond its tokenizer's."""
    return vocabulary[token] if token < len(vocabulary) else b""


def end_token_ids(generation_config: Any) -> list[int]:
    """The tokens at which a model stops, from its generation config (None: no such config)."""
    ids = getattr(generation_config, "eos_token_id", None)
    if ids is None:
        return []
    return [int(index) for index in ids] if isinstance(ids, Iterable) else [int(ids)]


def _decode(token: str, byte_of: Mapping[str, int]) -> bytes:
    foreign = [character for character in token if character not in byte_of]
    if foreign:
        raise ValueError(
            f"token {token!r} holds {foreign[0]!r}, which stands for no byte in the byte-level "
            "alphabet; expected such a token to be among the tokenizer's added tokens"
        )
    return bytes(byte_of[character] for character in token)


def _require_byte_level(tokenizer: Any) -> None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = json.loads(backend.to_str())["decoder"] if backend is not None else None
    kinds = [part["type"] for part in _parts(decoder)]
    if "ByteLevel" not in kinds:
        raise ValueError(
            f"{type(tokenizer).__name__} decodes with {kinds or 'no fast backend'}; CARE reads "
            "the bytes of tokens and knows byte-level BPE only (as in Qwen, Llama 3, GPT-2): "
            "use a model with such a tokenizer, loaded as a fast tokenizer"
        )


def _parts(decoder: dict[str, Any] | None) -> list[dict[str, Any]]:
    if decoder is None:
        return []
    return list(decoder["decoders"]) if decoder["type"] == "Sequence" else [decoder]


def _byte_characters() -> Iterator[tuple[int, str]]:
    """The GPT-2 alphabet: printable Latin-1 bytes stand for themselves, the others from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = 0x100
    for byte in range(0x100):
        if byte in printable:
            yield byte, chr(byte)
        else:
            yield byte, chr(spare)
            spare += 1
