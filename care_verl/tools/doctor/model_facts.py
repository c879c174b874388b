"""What is known of a model from its folder, without loading a weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEIGHTS = ("*.safetensors", "*.bin")
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken")


@dataclass(frozen=True)
class ModelFacts:
    """Numbers of a model.

    parameters: all of them, vision included. hidden, layers, vocabulary, key_value: of the language
    model; key_value is heads times their width. context: its longest row, in tokens.
    lora: parameters of adapters of rank 1 on every linear layer of the language model.
    """

    parameters: int
    hidden: int
    layers: int
    vocabulary: int
    key_value: int
    context: int
    lora: int


def model_folder(path: str) -> Path | None:
    """The folder of a model: itself, or a copy of a hub's model on this machine; None without."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(path, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def read_model(folder: Path, trust_remote_code: bool = False) -> ModelFacts:
    """Facts of the model in a folder, which is built without memory for its weights.

    Raises OSError or ValueError where transformers cannot read its configuration.
    """
    import torch
    from transformers import AutoConfig
    from verl.utils.model import get_hf_auto_model_class

    config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    language = getattr(config, "text_config", None) or config
    with torch.device("meta"):
        model = get_hf_auto_model_class(config).from_config(
            config, trust_remote_code=trust_remote_code
        )
    heads = language.num_attention_heads
    width = getattr(language, "head_dim", None) or language.hidden_size // heads
    linear = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "visual" not in name and "lm_head" not in name
    ]
    return ModelFacts(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        hidden=language.hidden_size,
        layers=language.num_hidden_layers,
        vocabulary=language.vocab_size,
        key_value=width * (getattr(language, "num_key_value_heads", None) or heads),
        context=language.max_position_embeddings,
        lora=sum(module.in_features + module.out_features for module in linear),
    )


def holds(folder: Path, patterns: Sequence[str]) -> bool:
    """Whether the folder has a file of one of these names."""
    return any(next(folder.glob(pattern), None) is not None for pattern in patterns)
