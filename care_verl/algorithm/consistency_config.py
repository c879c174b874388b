"""The settings of GRPO-CARE (arXiv 2506.16141).

"code" is the authors' public code and the scripts that come with it; "ours" marks what both leave
open. `docs/grpo-care.md` lists every key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from care_verl.algorithm.config import RecordsConfig
from care_verl.algorithm.method_settings import MethodSettings
from care_verl.algorithm.settings import Choice, Flag, Real, TagName, Whole, section, setting
from care_verl.algorithm.tags import TagSettings


@dataclass(frozen=True)
class GrpoCareRecordsConfig(RecordsConfig):
    """CARE's settings of the record, under the key of this method."""

    KEY: ClassVar[str] = "algorithm.grpo_care.records"


@dataclass(frozen=True)
class GrpoCareConfig(TagSettings, MethodSettings):
    """All settings of GRPO-CARE. Construction validates; see `Settings` for the errors."""

    KEY: ClassVar[str] = "algorithm.grpo_care"

    bonus_coefficient: float = setting(
        0.5, Real("[0, inf)"), "code", "share of its accuracy that a consistent row gets on top"
    )
    margin: float = setting(
        0.0,
        Real("[0, 1]"),
        "code: 0 for SEED-Bench-R1, 0.01 for general video",
        "how far below the mean of the accurate rows a likelihood may lie",
    )
    confidence_upper_bound: float = setting(
        0.95, Real("(0, 1]"), "code", "likelihoods count as this at most"
    )
    accuracy_threshold: float = setting(
        0.1, Real("[0, 1)"), "code", "an accurate row lies above it, and not below its group's mean"
    )
    eps: float = setting(
        1e-4, Real("(0, inf)"), "code", "added to the standard deviation of a group's rewards"
    )
    decay: float = setting(
        0.995, Real("[0, 1]"), "code", "share of itself that the reference keeps; 1 freezes it"
    )
    every: int = setting(
        10, Whole(1), "code", "optimizer steps of the policy from one such update to the next"
    )
    resume_without_reference: str = setting(
        "refuse",
        Choice(("refuse", "policy")),
        "ours",
        "a checkpoint that has no reference: end with an error, or begin with its policy",
    )
    lam: float = setting(
        0.1,
        Real("[0, 1]"),
        "ours, as algorithm.care.lam",
        "share of the format in the verifier's reward, before the bonus",
    )
    think_tag: str = setting("think", TagName(), "code", "rationale tag")
    answer_tag: str = setting("answer", TagName(), "code", "answer tag")
    prefilled: bool | None = setting(
        None,
        Flag(optional=True),
        "ours",
        "whether the chat template opens the rationale in the prompt; null detects it",
    )
    seeded: bool = setting(
        False,
        Flag(),
        "ours",
        "decode each rollout with a seed of its own, so that a resumed run repeats it",
    )
    records: GrpoCareRecordsConfig = section(GrpoCareRecordsConfig)

    @property
    def tags(self) -> TagSettings:
        """They are settings of the method itself."""
        return self
