"""What the agent-loop worker learns about a row, on its way to the trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from care_verl.algorithm import TokenSpans

ORIGINAL = -1


@dataclass(frozen=True)
class RowRecord:
    """One scored row.

    `session` is the row's number in its group; `reflected_from` that of its source, or -1.
    `spans` are over the whole response. `logp` is vLLM's log-probability of the decoded tokens.
    `rule` is the verifier's, empty with a reward of another make.
    """

    session: int
    acc: float
    reward: float
    spans: TokenSpans
    logp: float
    reflected_from: int = ORIGINAL
    rule: str = ""

    def to_mapping(self) -> dict[str, Any]:
        """Plain values: the queue's own encoding turns a dataclass into a dict by itself."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> RowRecord:
        """The inverse of `to_mapping`; ranges may come back as lists."""
        spans: dict[str, Any] = {
            name: tuple(value) if isinstance(value, Sequence) else value
            for name, value in mapping["spans"].items()
        }
        return cls(**{**mapping, "spans": TokenSpans(**spans)})


def read_accuracy(extra_fields: Mapping[str, Any]) -> float:
    """`acc` of a scored row. Raises KeyError when the reward function does not report it."""
    info = extra_fields.get("reward_extra_info") or {}
    if "acc" not in info:
        raise KeyError(
            f"the reward reports {sorted(info)} but no 'acc'; CARE gates on accuracy, never on "
            "the shaped reward: return {'score': ..., 'acc': 0.0 or 1.0} from the reward function"
        )
    return float(info["acc"])


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


def as_embedding(value: Any, session: int) -> np.ndarray:
    """A harvested embedding as float32 [H]. Raises RuntimeError when none was harvested."""
    if value is None:
        raise RuntimeError(
            f"session {session} came back without a rationale embedding: the rollout server does "
            "not harvest. Is the care-verl plugin installed where vLLM runs?"
        )
    return np.asarray(value, dtype=np.float32)
