"""What our tasks are told from outside: tags, instruction, and where the rationale begins."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields

from care_verl.data.corpora.prompt import instruction
from care_verl.grammar import TagSpec

TASKS = "CARE_VERL_TASKS"
"""Environment variable that carries the settings to LMMs-Eval's process, as JSON."""


@dataclass(frozen=True)
class TaskSettings:
    """The same for all benchmarks of a run, and for every model that is compared.

    think_tag, answer_tag: names of the tags; the paper's, `reasoning` with Qwen3-VL-8B.
    instruction: text at the end of each prompt; None for the one that training prompts end with.
    prefilled: the chat template opens the rationale, so that responses begin inside it.

    Raises ValueError for tag names that are none, and for two that are the same.
    """

    think_tag: str = "think"
    answer_tag: str = "answer"
    instruction: str | None = None
    prefilled: bool = False

    def __post_init__(self) -> None:
        TagSpec(self.think_tag, self.answer_tag)
        if not isinstance(self.prefilled, bool):
            raise ValueError(f"prefilled = {self.prefilled!r}; expected true or false")
        if self.instruction is not None and not isinstance(self.instruction, str):
            raise ValueError(f"instruction = {self.instruction!r}; expected a text or null")

    @property
    def ending(self) -> str:
        """The text that prompts end with; empty for none."""
        if self.instruction is not None:
            return self.instruction
        return instruction(TagSpec(self.think_tag, self.answer_tag))

    def environment(self) -> dict[str, str]:
        """The variable that carries these settings."""
        return {TASKS: json.dumps(asdict(self))}


def task_settings() -> TaskSettings:
    """The settings that this process was given; the defaults where it was given none.

    Raises ValueError for a value that is no JSON object of known settings.
    """
    written = os.environ.get(TASKS, "{}")
    known = [field.name for field in fields(TaskSettings)]
    try:
        values = json.loads(written)
    except ValueError as error:
        raise ValueError(f"{TASKS} = {written}; expected JSON ({error})") from error
    if not isinstance(values, dict) or not set(values) <= set(known):
        raise ValueError(f"{TASKS} = {written}; expected a JSON object of {', '.join(known)}")
    return TaskSettings(**values)
