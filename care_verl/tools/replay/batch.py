"""Rollouts as columns, and their groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from care_verl.algorithm.groups import ORIGINAL
from care_verl.algorithm.selection import ALL_RIGHT, ALL_WRONG, KINDS, MIXED
from care_verl.tools.replay.rollouts import Rollout

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Batch:
    """B rows of N groups, group by group.

    reward, acc: [B]. group: [B], number of the row's group. original: [B], no reflection.
    kind: [N], position in `KINDS`, by the accuracy of the originals.
    """

    rollouts: list[Rollout]
    reward: Floats
    acc: Floats
    group: Ints
    original: Bools
    kind: Ints

    @classmethod
    def of(cls, rollouts: list[Rollout]) -> Batch:
        """From rows of which those of a group stand side by side."""
        numbers: dict[str, int] = {}
        group = np.array([numbers.setdefault(row.group, len(numbers)) for row in rollouts])
        acc = np.array([row.acc for row in rollouts])
        original = np.array([row.reflected_from == ORIGINAL for row in rollouts])
        right = np.bincount(group[original & (acc == 1)], minlength=len(numbers))
        wrong = np.bincount(group[original & (acc != 1)], minlength=len(numbers))
        kind = np.where(right == 0, ALL_WRONG, np.where(wrong == 0, ALL_RIGHT, MIXED))
        reward = np.array([row.reward for row in rollouts])
        return cls(rollouts, reward, acc, group, original, kind)

    def kinds(self) -> dict[str, int]:
        """Number of groups by kind."""
        return {name: int((self.kind == code).sum()) for code, name in enumerate(KINDS)}

    def per_group(self, values: npt.NDArray[np.generic], rows: Bools) -> Floats:
        """Sums over the chosen rows of each group, [N]."""
        chosen = np.asarray(values[rows], dtype=np.float64)
        sums = np.bincount(self.group[rows], weights=chosen, minlength=len(self.kind))
        return sums.astype(np.float64)
