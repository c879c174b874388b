"""CARE (arXiv 2512.19554) as pure functions of tensors: torch and numpy, no framework.

`docs/algorithm.md` maps the paper's equations to these names and lists what was settled where
the paper leaves a choice. Shapes in docstrings: B rows, N groups, G rollouts a group, W the
largest G, T response tokens, H hidden size, R requests, V vocabulary.
"""

from care_verl.algorithm.advantage import ROLES, CareAdvantages, care_advantages
from care_verl.algorithm.automaton import (
    RationaleAutomaton,
    accumulate,
    finish,
    rationale_embedding,
)
from care_verl.algorithm.config import (
    CaptureConfig,
    CareConfig,
    EmbeddingConfig,
    ParityConfig,
    RecordsConfig,
    RegionConfig,
    RgrConfig,
)
from care_verl.algorithm.diagnostics import care_metrics, failure_share
from care_verl.algorithm.objective import ClipStats, clipped_surrogate, kl_penalty
from care_verl.algorithm.parity import (
    ScoredRow,
    parity_metrics,
    ratio_deviation,
    worst_token,
)
from care_verl.algorithm.plan import GroupPlan, plan_group
from care_verl.algorithm.reflection import ReflectionPrefix, ReflectionTokens, reflection_prefix
from care_verl.algorithm.regions import region_weights, token_advantages
from care_verl.algorithm.reward import is_positive, verifiable_reward
from care_verl.algorithm.selection import KINDS
from care_verl.algorithm.spans import TokenSpans, rationale_pieces, token_spans
from care_verl.grammar import TagSpec

__all__ = [
    "KINDS",
    "ROLES",
    "CaptureConfig",
    "CareAdvantages",
    "CareConfig",
    "ClipStats",
    "EmbeddingConfig",
    "GroupPlan",
    "ParityConfig",
    "RationaleAutomaton",
    "RecordsConfig",
    "ReflectionPrefix",
    "ReflectionTokens",
    "RegionConfig",
    "RgrConfig",
    "ScoredRow",
    "TagSpec",
    "TokenSpans",
    "accumulate",
    "care_advantages",
    "care_metrics",
    "clipped_surrogate",
    "failure_share",
    "finish",
    "is_positive",
    "kl_penalty",
    "parity_metrics",
    "plan_group",
    "ratio_deviation",
    "rationale_embedding",
    "rationale_pieces",
    "reflection_prefix",
    "region_weights",
    "token_advantages",
    "token_spans",
    "verifiable_reward",
    "worst_token",
]
