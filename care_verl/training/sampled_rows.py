"""The rows of one step as they came from the rollouts, of any method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from care_verl.algorithm.selection import kind_of
from care_verl.training.judged_row import JudgedRow
from care_verl.training.queue_rows import group_of

RowT = TypeVar("RowT", bound=JudgedRow)


@dataclass(frozen=True, kw_only=True)
class SampledRows(Generic[RowT]):
    """All B rows of a step, sorted by group and session, so that ties never depend on timing.

    keys: the queue's. masks: B tensors [T_i], 1 on decoded tokens. reports: what the reward said of
    each row beside its score.
    """

    keys: list[str]
    records: list[RowT]
    masks: list[Tensor]
    reports: list[dict[str, Any]]

    @property
    def uids(self) -> list[str]:
        """The names of their groups."""
        return [group_of(key) for key in self.keys]

    @property
    def kinds(self) -> list[str]:
        """Of each row, the kind of its group, by which of the group's rows are right."""
        right: dict[str, list[bool]] = {}
        for uid, record in zip(self.uids, self.records, strict=True):
            right.setdefault(uid, []).append(record.acc == 1)
        return [kind_of(right[uid]) for uid in self.uids]

    def share_of_rule(self, rule: str) -> float:
        """Share of the rows that the verifier judged by `rule`."""
        return sum(record.rule == rule for record in self.records) / len(self.records)


def reports_of(extra_fields: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the reward said of each row, from the queue's `extra_fields`."""
    return [fields.get("reward_extra_info") or {} for fields in extra_fields]


def require_rows(keys: Sequence[str]) -> None:
    """Raise RuntimeError when no rollout arrived at all."""
    if not keys:
        raise RuntimeError(
            "no rollout arrived in this step: every session failed; the rollout errors are "
            "logged above"
        )
