"""The model of a run: is its folder here, and whole?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from care_verl.tools.doctor.finding import Check, Finding
from care_verl.tools.doctor.model_facts import (
    TOKENIZERS,
    WEIGHTS,
    ModelFacts,
    holds,
    model_folder,
    read_model,
)

CHECK = Check("model")
KEY = "actor_rollout_ref.model.path"


def is_path(model: str) -> bool:
    """Whether a model is named by its folder, not by its hub id."""
    return model.startswith(("/", "~", "."))


def check_model(config: DictConfig) -> tuple[Path | None, ModelFacts | None, list[Finding]]:
    """The model's folder and facts, as far as they are to be had here, and the findings."""
    path = str(config.actor_rollout_ref.model.path)
    folder = model_folder(path)
    if folder is None:
        return None, None, [_absent(path)]
    try:
        facts = read_model(folder, bool(config.actor_rollout_ref.model.trust_remote_code))
    except (OSError, ValueError) as error:
        text = " ".join(str(error).split())
        return None, None, [CHECK.error(f"{KEY} = {path}: {text}", "name a whole model")]
    problems = [*_files(path, folder), *_context(config, facts)]
    return folder, facts, CHECK.unless(problems, f"{folder}: {facts.parameters:,} parameters")


def _absent(path: str) -> Finding:
    if is_path(path):
        return CHECK.error(f"{KEY} = {path}: no such folder", "name the model's folder")
    return CHECK.warning(
        f"{KEY} = {path} is not on this machine: tokens, memory and disk are not checked",
        f"download it first: hf download {path}",
    )


def _files(path: str, folder: Path) -> Iterator[Finding]:
    if not holds(folder, WEIGHTS):
        yield CHECK.error(f"{KEY} = {path} has no weights", "download the whole model")
    if not holds(folder, TOKENIZERS):
        # For some models transformers then makes an empty tokenizer and says nothing.
        yield CHECK.error(
            f"{KEY} = {path} has no tokenizer",
            "copy the tokenizer's files of the original model into it",
        )


def _context(config: DictConfig, facts: ModelFacts) -> list[Finding]:
    key = "actor_rollout_ref.rollout.max_model_len"
    wanted = config.actor_rollout_ref.rollout.max_model_len
    if wanted is None or int(wanted) <= facts.context:
        return []
    return [
        CHECK.error(
            f"{key} = {wanted}, but the model was made for {facts.context} tokens",
            f"set {key}={facts.context} or less",
        )
    ]
