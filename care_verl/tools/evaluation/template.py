"""Whether a model's chat template opens the rationale, so that its responses begin inside it."""

from __future__ import annotations

from care_verl.tools.evaluation.checkpoint import UnusableCheckpointError


def opens_rationale(path: str, think_tag: str) -> bool:
    """Whether the prompt of the model at `path`, a folder or a hub id, ends with the opening tag.

    Raises UnusableCheckpointError for a model whose tokenizer cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise UnusableCheckpointError(
            f"the tokenizer of {path} cannot be loaded: {error}"
        ) from error
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}], add_generation_prompt=True, tokenize=False
    )
    return str(prompt).rstrip().endswith(f"<{think_tag}>")
