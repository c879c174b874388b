"""CARE (arXiv 2512.19554) and GRPO-CARE (arXiv 2506.16141) as pure functions of tensors: torch and
numpy, no framework. Here is where each begins; the rest is imported from where it lies.

`docs/algorithm.md` maps the paper's equations to these names and lists what was settled where
the paper leaves a choice. Shapes in docstrings: B rows, N groups, G rollouts a group, W the
largest G, T response tokens, H hidden size, R requests, V vocabulary.
"""

from care_verl.algorithm.advantage import CareAdvantages, care_advantages
from care_verl.algorithm.automaton import RationaleAutomaton
from care_verl.algorithm.config import CareConfig
from care_verl.algorithm.consistency import (
    GrpoCareAdvantages,
    answer_likelihood,
    grpo_care_advantages,
)
from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.algorithm.objective import clipped_surrogate
from care_verl.algorithm.plan import GroupPlan, plan_group
from care_verl.algorithm.reflection import reflection_prefix
from care_verl.algorithm.regions import region_weights, token_advantages
from care_verl.algorithm.reward import verifiable_reward
from care_verl.algorithm.spans import token_spans

__all__ = [
    "CareAdvantages",
    "CareConfig",
    "GroupPlan",
    "GrpoCareAdvantages",
    "GrpoCareConfig",
    "RationaleAutomaton",
    "answer_likelihood",
    "care_advantages",
    "clipped_surrogate",
    "grpo_care_advantages",
    "plan_group",
    "reflection_prefix",
    "region_weights",
    "token_advantages",
    "token_spans",
    "verifiable_reward",
]
