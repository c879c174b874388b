"""What the rollout server is told about rationales: `rollout.custom.care_harvest`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from care_verl.algorithm.settings import Flag, Settings, TagName, setting
from care_verl.grammar import TagSpec

CUSTOM_KEY = "care_harvest"
"""Key in `rollout.custom` that switches the harvest on, and sampling parameter that asks for it."""

EMBEDDING_FIELD = "care_embedding"
"""Key in `TokenOutput.extra_fields`: float32 [H]; zeros for a response without a rationale,
[0] where the harvest lost track of it.
"""

TOKENS_FIELD = "care_embedding_tokens"
"""Key in `TokenOutput.extra_fields`: how many hidden rows the embedding is the mean of."""

TIME_LIMIT_KEY = "care_time_limit_s"
"""Sampling parameter: seconds from its first token after which a request is given up, in the engine
too.
"""

TIMED_OUT = "timeout"
"""`TokenOutput.stop_reason` of a request that was given up."""


@dataclass(frozen=True)
class HarvestSettings(Settings):
    """The tags of a rationale, and where it may begin."""

    KEY: ClassVar[str] = f"rollout.custom.{CUSTOM_KEY}"

    think_tag: str = setting("think", TagName(), "Sec. 3.1", "rationale tag")
    answer_tag: str = setting("answer", TagName(), "Sec. 3.1", "answer tag")
    prefilled: bool = setting(
        False, Flag(), "ours", "whether the prompt opens the rationale; a request can say otherwise"
    )

    @property
    def tags(self) -> TagSpec:
        """The tags as `RationaleAutomaton` takes them."""
        return TagSpec(think=self.think_tag, answer=self.answer_tag)


def harvest_settings(custom: Mapping[str, Any] | None) -> HarvestSettings | None:
    """The harvest's settings in `rollout.custom`; None where that section does not ask for it.

    Raises ValueError on an unknown key or a value out of range.
    """
    section = (custom or {}).get(CUSTOM_KEY)
    return None if section is None else HarvestSettings.from_mapping(section)


@dataclass(frozen=True)
class HarvestRequest:
    """What one `generate` call asks for."""

    prefilled: bool

    @classmethod
    def parse(cls, value: object, settings: HarvestSettings) -> HarvestRequest | None:
        """Read the sampling parameter: False, True, or `{"prefilled": bool}` for this prompt.

        Raises ValueError on anything else.
        """
        if value is False or value is None:
            return None
        if value is True:
            return cls(settings.prefilled)
        if isinstance(value, Mapping) and list(value) == ["prefilled"]:
            prefilled = value["prefilled"]
            if isinstance(prefilled, bool):
                return cls(prefilled)
        raise ValueError(
            f"sampling parameter {CUSTOM_KEY} = {value!r} is not allowed; expected true | false | "
            '{"prefilled": true | false}'
        )
