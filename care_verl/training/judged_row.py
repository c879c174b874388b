"""What the agent-loop worker learns about a row, on its way to the trainer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from omegaconf import DictConfig, OmegaConf

from care_verl.algorithm.groups import ORIGINAL
from care_verl.algorithm.spans import TokenSpans
from care_verl.training.run.misfit import MisfitError

NUMBERS = (bool, int, float, np.integer, np.floating, np.bool_)
"""What reward functions return as numbers; numpy's are no subclasses of Python's, but float64."""

RowT = TypeVar("RowT", bound="JudgedRow")


@dataclass(frozen=True, kw_only=True)
class JudgedRow:
    """One scored row of either method.

    `session` is the row's number in its group; `reflected_from` that of its source, or -1.
    `spans` are over the whole response. `logp` is vLLM's log-probability of the decoded tokens,
    None where the rollout returns none. `rule` is the verifier's, empty with a reward of another
    make.
    """

    session: int
    acc: float
    reward: float
    spans: TokenSpans
    logp: float | None
    reflected_from: int = ORIGINAL
    rule: str = ""

    def to_mapping(self) -> dict[str, Any]:
        """Plain values: the queue's own encoding turns a dataclass into a dict by itself."""
        return asdict(self)

    @classmethod
    def from_mapping(cls: type[RowT], mapping: Mapping[str, Any]) -> RowT:
        """The inverse of `to_mapping`; ranges may come back as lists."""
        spans: dict[str, Any] = {
            name: tuple(value) if isinstance(value, Sequence) else value
            for name, value in mapping["spans"].items()
        }
        return cls(**{**mapping, "spans": TokenSpans(**spans)})


def reward_name(config: DictConfig) -> str:
    """The reward function of a run, for messages."""
    function = OmegaConf.select(config, "reward.custom_reward_function")
    if function is not None and function.path is not None:
        return f"reward function {function.name} of {function.path}"
    return f"reward manager {OmegaConf.select(config, 'reward.reward_manager.name')}"


def read_reward(value: Any, verdict: str) -> float:
    """The reward of a row; `verdict` says whose, about which row.

    Raises ValueError where it is no finite number: one such row spoils the whole step's gradient.
    """
    if isinstance(value, NUMBERS) and math.isfinite(value):
        return float(value)
    raise ValueError(
        f"{verdict}: the reward is {value!r}; expected a finite number. Mend the reward function"
    )


def read_accuracy(extra_fields: Mapping[str, Any], verdict: str) -> float:
    """`acc` of a scored row, 0 or 1; `verdict` says whose, about which row.

    Raises MisfitError when the reward function does not report it or reports another value, and
    ValueError, which costs the group only, for NaN.
    """
    acc = reported_accuracy(extra_fields, verdict)
    if acc not in (0, 1):
        raise fault_of(acc)(
            f"{verdict}: acc is {acc!r}; expected 0 or 1: a group is divided into "
            "successes and failures. Put what is shaped or partial into the score"
        )
    return float(acc)


def read_share(extra_fields: Mapping[str, Any], verdict: str) -> float:
    """`acc` of a scored row, from 0 to 1; `verdict` says whose, about which row.

    Raises MisfitError when the reward function does not report it or reports another value, and
    ValueError, which costs the group only, for NaN.
    """
    acc = reported_accuracy(extra_fields, verdict)
    if not isinstance(acc, NUMBERS) or not 0 <= acc <= 1:
        raise fault_of(acc)(
            f"{verdict}: acc is {acc!r}; expected a number from 0 to 1. Put what is shaped "
            "otherwise into the score"
        )
    return float(acc)


def reported_accuracy(extra_fields: Mapping[str, Any], verdict: str) -> Any:
    """What the reward function reports as `acc`. Raises MisfitError when it reports none."""
    info = extra_fields.get("reward_extra_info") or {}
    if "acc" not in info:
        raise MisfitError(
            f"{verdict}: the reward reports {sorted(info)} but no 'acc'; accuracies are compared, "
            "never shaped rewards: return {'score': ..., 'acc': 0.0 or 1.0} from the reward "
            "function"
        )
    return info["acc"]


def fault_of(acc: Any) -> type[ValueError]:
    """What an accuracy that is not allowed shows: NaN a bad row, any other a wrong function."""
    return ValueError if isinstance(acc, NUMBERS) and math.isnan(acc) else MisfitError


def read_rule(extra_fields: Mapping[str, Any]) -> str:
    """The rule by which the verifier judged; empty when the reward reports none."""
    return str((extra_fields.get("reward_extra_info") or {}).get("rule", ""))


def response_logp(log_probs: Sequence[float] | None, mask: Sequence[int]) -> float:
    """log pi_old(y|x): sum over the decoded tokens (`mask` 1) of a response.

    Raises ValueError without log-probabilities, which rescue needs.
    """
    if log_probs is None:
        raise ValueError(
            "the rollout returned no log-probabilities; CARE's rescue needs "
            "actor_rollout_ref.rollout.calculate_log_probs=True"
        )
    pairs = zip(log_probs, mask, strict=True)
    return float(sum(logp for logp, decoded in pairs if decoded))
