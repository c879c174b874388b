"""The settings of CARE, with the paper's values (Table 5, Section 8.2) as defaults.

Every field states default, range, source and reason in its declaration; `docs/algorithm.md`
lists them. "ours" marks what the paper leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from care_verl.algorithm.anchors import ANCHORS
from care_verl.algorithm.hard_negatives import SELECTORS
from care_verl.algorithm.method_settings import MethodSettings
from care_verl.algorithm.normalization import NORMALIZATIONS
from care_verl.algorithm.schemes import SCHEMES
from care_verl.algorithm.settings import (
    Choice,
    Flag,
    Real,
    Settings,
    TagName,
    Text,
    Whole,
    section,
    setting,
)
from care_verl.algorithm.tags import TagSettings

REPAIR_CUE = (
    "Your previous reasoning was incorrect. Identify the failing operation, correct it, and "
    "re-derive the necessary quantities. Keep this section concise. Do not restate the question."
)

TOKENS_OF_A_LIMIT = 1024


@dataclass(frozen=True)
class RegionConfig(TagSettings):
    """Which response tokens carry the advantage (Section 3.5, Eq. 11)."""

    KEY: ClassVar[str] = "algorithm.care.regions"

    scheme: str = setting(
        "rw",
        Choice(SCHEMES),
        "Sec. 3.5, Fig. 8",
        "token weighting; the others are the ablation of Figure 8",
    )
    tags: str = setting(
        "exclude",
        Choice(("exclude", "include")),
        "ours",
        "whether a tag's own tokens belong to its region",
    )
    missing_answer: str = setting(
        "whole_response",
        Choice(("whole_response", "none")),
        "ours, as the authors' code",
        "what a row without any answer token is trained on",
    )
    think_tag: str = setting(
        "think", TagName(), "Sec. 3.1", "rationale tag; the paper uses 'reasoning' with Qwen3-VL"
    )
    answer_tag: str = setting("answer", TagName(), "Sec. 3.1", "answer tag")
    prefilled: bool | None = setting(
        None,
        Flag(optional=True),
        "ours",
        "whether the chat template opens the rationale in the prompt; null detects it",
    )


@dataclass(frozen=True)
class RgrConfig(Settings):
    """Reflection-Guided Resampling (Section 3.6) and its controls (Figure 4)."""

    KEY: ClassVar[str] = "algorithm.care.rgr"

    mode: str = setting(
        "cue",
        Choice(("cue", "no_cue", "random", "off")),
        "Sec. 3.6, Fig. 4",
        "resample with the cue, without it, from the bare prompt, or not at all",
    )
    context: str = setting(
        "in_think",
        Choice(("in_think", "answer")),
        "ours",
        "go on inside the rationale, or close it and decode the answer only",
    )
    cue: str = setting(REPAIR_CUE, Text(), "Sec. 3.6 (box)", "the repair cue")
    min_new_tokens: int = setting(
        64, Whole(1), "ours", "tokens of the response budget kept free for the new decode"
    )
    timeout_s: float = setting(
        300.0,
        Real("(0, inf)"),
        "ours",
        "seconds from its first token, for each 1,024 tokens it may have, to give a decode up",
    )

    def limit_s(self, tokens: int) -> float:
        """Seconds from the first token of a decode of at most `tokens`, at least 1, to its end.

        Each started 1,024 tokens count as whole, so that a limit scales with the response length.
        """
        return self.timeout_s * -(-tokens // TOKENS_OF_A_LIMIT)


@dataclass(frozen=True)
class EmbeddingConfig(Settings):
    """Rationale embeddings (Section 3.3)."""

    KEY: ClassVar[str] = "algorithm.care.embedding"

    cross_check: bool = setting(
        False, Flag(), "ours", "also pool them in the actor and report the distance"
    )


@dataclass(frozen=True)
class CaptureConfig(Settings):
    """Writing one step's rows to a file, for `care-verl certificate`."""

    KEY: ClassVar[str] = "algorithm.care.capture"

    step: int = setting(0, Whole(0), "ours", "step whose rows are written; 0 for none")
    folder: str = setting(
        "captures", Text(), "ours", "where `step_N.safetensors` goes, from the driver's folder"
    )


@dataclass(frozen=True)
class RecordsConfig(Settings):
    """The record of the run: all rows of its steps, for `care-verl report`, `atlas`, `replay`."""

    KEY: ClassVar[str] = "algorithm.care.records"

    every: int = setting(
        1, Whole(0), "ours", "every n-th step is recorded, from step 1 on; 0 for none"
    )
    keep: int = setting(
        0, Whole(0), "ours", "how many recorded steps stay on the disk, the last ones; 0 for all"
    )
    folder: str | None = setting(
        None,
        Text(optional=True),
        "ours",
        "where its files go; null is `records` in `trainer.default_local_dir`",
    )
    samples: int = setting(
        0, Whole(0), "ours", "groups of each recorded step that go to the trackers as a table"
    )


@dataclass(frozen=True)
class ParityConfig(Settings):
    """The distance between vLLM's and the actor's log-probabilities, logged at every step."""

    KEY: ClassVar[str] = "algorithm.care.parity"

    max_difference: float | None = setting(
        None,
        Real("(0, inf)", optional=True),
        "ours",
        "a token that is further apart ends the run; null only logs",
    )


@dataclass(frozen=True)
class CareConfig(MethodSettings):
    """All settings of CARE. Construction validates; see `Settings` for the errors."""

    KEY: ClassVar[str] = "algorithm.care"

    K: int = setting(4, Whole(1), "Table 5", "target number of hard negatives in a subgroup")
    M: int = setting(
        6, Whole(1), "Sec. 8.2", "nearest failures preselected; max(M, K') where M is smaller"
    )
    s: float = setting(0.5, Real("(0, 1]"), "Table 5", "scale of a negative's advantage")
    s_refl: float = setting(
        None,
        Real("(0, 1]", optional=True),
        "Sec. 3.6",
        "scale of a failed reflection, at most s; null reads s/2 once constructed",
    )
    delta: float = setting(0.1, Real("(0, inf)"), "Table 5", "pseudo-reward of the rescue")
    eps: float = setting(1e-6, Real("(0, inf)"), "ours", "added to the reward scale (Eq. 6)")
    eps_w: float = setting(1e-8, Real("(0, inf)"), "ours", "added to a row's weights (Eq. 11)")
    equalize: bool = setting(True, Flag(), "Sec. 3.4", "multiply by sqrt(K/K_S) where K_S < K")
    rescue: bool = setting(True, Flag(), "Table 5", "train on all-wrong groups (Section 3.7)")
    rescue_logp: str = setting(
        "sum",
        Choice(("sum", "mean")),
        "Sec. 3.7; mean is ours",
        "log-probability that picks the pseudo-anchor: of the response, or per token",
    )
    gamma_pos: float = setting(
        0.005, Real("[0, 1]"), "Table 5", "weight of a positive row's rationale tokens"
    )
    lam: float = setting(
        0.1, Real("[0, 1]"), "ours, as the authors' code", "share of the format reward (Eq. 1)"
    )
    clip_low: float = setting(0.2, Real("(0, 1)"), "Table 5", "lower clipping distance (Eq. 12)")
    clip_high: float = setting(
        0.28, Real("(0, inf)"), "Table 5", "upper clipping distance (Eq. 12)"
    )
    beta: float = setting(0.02, Real("[0, inf)"), "Table 5", "coefficient of the KL (Eq. 13)")
    anchor: str = setting(
        "shortest", Choice(ANCHORS), "Eq. 2, Fig. 11", "which positive is the anchor"
    )
    selector: str = setting(
        "nearest",
        Choice(SELECTORS),
        "Sec. 3.3, Fig. 5",
        "which failures are the hard negatives",
    )
    normalization: str = setting(
        "zscore", Choice(NORMALIZATIONS), "Sec. 3.4", "mean and deviation, or robust ones"
    )
    trim: float = setting(
        0.1, Real("[0, 0.5)"), "ours", "share cut from each end by the robust mean"
    )
    seed: int = setting(0, Whole(0), "ours", "seed of the random anchor and selector")
    seeded: bool = setting(
        False,
        Flag(),
        "ours",
        "decode each rollout with a seed of its own, so that a resumed run repeats it",
    )
    regions: RegionConfig = section(RegionConfig)
    rgr: RgrConfig = section(RgrConfig)
    embedding: EmbeddingConfig = section(EmbeddingConfig)
    parity: ParityConfig = section(ParityConfig)
    capture: CaptureConfig = section(CaptureConfig)
    records: RecordsConfig = section(RecordsConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.s_refl is None:
            object.__setattr__(self, "s_refl", self.s / 2)
        elif self.s_refl > self.s:
            raise ValueError(
                f"{self.KEY}.s_refl = {self.s_refl} is not allowed; expected a number in "
                f"(0, s] with s = {self.s}, or null for s/2"
            )

    @property
    def tags(self) -> TagSettings:
        """Those of its regions."""
        return self.regions

    def warnings_for(self, G: int) -> list[str]:
        """What is legal but cannot work as asked with G rollouts a group; empty when all is well.

        A group of G rollouts has at most G - 1 hard negatives beside its anchor.
        """
        if self.K <= G - 1:
            return []
        return [
            f"{self.KEY}.K = {self.K} can never be reached with G = {G} rollouts a group: "
            f"at most {G - 1} failures stand beside an anchor; use K <= {G - 1} or more rollouts"
        ]
