"""A sample of the rows, read as a run reads them: images, placeholders, tokens of the prompt."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from care_verl.data.columns import IMAGE_PLACEHOLDER
from care_verl.tools.doctor.data_files import DataFile
from care_verl.tools.doctor.finding import Check, Finding

CHECK = Check("data")
_SHOWN = 3
"""Rows that are listed one by one; of more only the number."""

Row = Mapping[str, Any]
Sample = tuple[str, Row]
"""Where a row stands, for messages, and the row."""


def sample_of(file: DataFile, number: int) -> Iterator[Sample]:
    """At most `number` rows, at equal distances over the file."""
    total = len(file.rows)
    wanted = sorted({index * total // number for index in range(number)} if total else ())
    for index, row in zip(wanted, file.rows.rows(wanted), strict=True):
        yield f"{file.path}, row {index}", row


class PromptReader:
    """Turns rows into tokens as a run does: verl's chat template, images and processor.

    Without a model folder (None) rows are only checked for what needs no model.
    """

    def __init__(self, config: DictConfig, model: Path | None) -> None:
        from care_verl.training.wiring import wiring_of

        self._data = config.data
        self._single_turn = wiring_of(config) is not None
        self._processor: Any = None
        self._tokenizer: Any = None
        if model is not None:
            from verl.utils import hf_processor, hf_tokenizer

            trust = bool(config.actor_rollout_ref.model.trust_remote_code)
            self._tokenizer = hf_tokenizer(str(model), trust_remote_code=trust)
            self._processor = hf_processor(str(model), trust_remote_code=trust)

    @property
    def counts(self) -> bool:
        """Whether `tokens` can be asked for."""
        return self._tokenizer is not None

    def problem(self, row: Row) -> str | None:
        """Why a row cannot be rolled out, whatever its length; None when it can."""
        from care_verl.training.run.misfit import several_turns

        asked = several_turns(row) if self._single_turn else None
        if asked is not None:
            return f"{asked}, but rows of several turns or with tools are not supported yet"
        prompt, images = row[self._data.prompt_key], self._images(row)
        if not isinstance(prompt, list) or not prompt:
            return f"{self._data.prompt_key} is no list of messages, but {type(prompt).__name__}"
        placeholders = sum(str(part.get("content")).count(IMAGE_PLACEHOLDER) for part in prompt)
        if placeholders != len(images):
            return f"{placeholders} placeholders {IMAGE_PLACEHOLDER} but {len(images)} images"
        if images and self.counts and self._processor is None:
            return "it has images, but the model has no processor for them"
        try:
            self._decoded(row)
        except (ValueError, OSError) as error:
            return str(error)
        return None

    def tokens(self, row: Row) -> int:
        """Tokens of the prompt, its images' and the generation prompt's included."""
        messages, images = self._decoded(row)
        reader = self._processor or self._tokenizer
        text = reader.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=False,
            **dict(self._data.apply_chat_template_kwargs or {}),
        )
        if not images:
            return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        arguments = dict(self._data.mm_processor_kwargs or {})
        return len(self._processor(text=[text], images=images, **arguments)["input_ids"][0])

    def _images(self, row: Row) -> Sequence[Any]:
        return row.get(self._data.image_key) or []

    def _decoded(self, row: Row) -> tuple[list[dict[str, Any]], Any]:
        """The messages as verl's dataset builds them, and their images as its loop opens them."""
        from care_verl.training.dataset import CareDataset

        # The class without its files: the rows are here already.
        dataset: Any = object.__new__(CareDataset)
        dataset.image_key, dataset.video_key, dataset.audio_key = (
            self._data.image_key,
            self._data.video_key,
            self._data.audio_key,
        )
        # verl asks only whether there is one.
        dataset.processor = self._processor or True
        messages = dataset._build_messages(copy.deepcopy(dict(row)), self._data.prompt_key)
        patch = getattr(getattr(self._processor, "image_processor", None), "patch_size", 14)
        images, _, _ = CareDataset._process_multi_modal_info(messages, patch, self._data)
        return messages, images


def check_rows(
    sample: Sequence[Sample], reader: PromptReader, prompt_length: int, filtered: bool, name: str
) -> list[Finding]:
    """What is wrong with the rows of a sample, or the longest prompt.

    prompt_length: most tokens that a prompt may have. filtered: verl leaves longer ones out.
    name: of the file, for messages.
    """
    broken = {where: why for where, row in sample if (why := reader.problem(row)) is not None}
    findings = [
        CHECK.error(
            f"{where}: {why}{more}",
            "drop or mend the row; `care-verl data prepare` keeps only rows that pass",
        )
        for where, why, more in _first(broken)
    ]
    if not reader.counts:
        return findings or [
            CHECK.ok(f"{name}: {len(sample)} rows looked at are sound; tokens are not counted")
        ]
    lengths = {where: reader.tokens(row) for where, row in sample if where not in broken}
    long = {where: count for where, count in lengths.items() if count > prompt_length}
    longest = max(lengths.values(), default=0)
    if long:
        findings.append(_too_long(long, len(lengths), prompt_length, filtered))
    elif lengths:
        findings.append(
            CHECK.ok(
                f"{name}: {len(lengths)} of {len(sample)} rows looked at are sound; the longest "
                f"prompt has {longest} tokens of at most {prompt_length}, images included"
            )
        )
    return findings


def _too_long(long: dict[str, int], looked_at: int, most: int, filtered: bool) -> Finding:
    where, tokens = max(long.items(), key=lambda item: item[1])
    text = (
        f"{len(long)} of {looked_at} prompts looked at are longer than {most} tokens; {where}, has "
        f"{tokens}"
    )
    change = f"set data.max_prompt_length={tokens} or more"
    if filtered:
        return CHECK.warning(f"{text}: verl leaves them out", change)
    return CHECK.error(
        f"{text}: with images their rollouts fail, without they lose their beginning",
        f"{change}, or data.filter_overlong_prompts=True",
    )


def _first(broken: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """The first few, the last of them with the number of all others."""
    shown = list(broken.items())[:_SHOWN]
    for number, (where, why) in enumerate(shown, start=1):
        others = len(broken) - _SHOWN
        yield where, why, f" (and {others} more rows)" if number == _SHOWN and others > 0 else ""
