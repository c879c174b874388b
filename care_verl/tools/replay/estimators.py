"""Sequence advantages of GRPO, DAPO and GRPO-CARE; CARE's are in `care`.

Reflections are no rollouts of theirs: such rows have advantage 0 and are not `counted`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from care_verl.algorithm.consistency import accurate_rows, grpo_care_advantages
from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.tools.replay.batch import Batch, Bools, Floats

GRPO_EPS = 1e-6
"""verl 0.9.1, `compute_grpo_outcome_advantage`."""


@dataclass(frozen=True)
class Replayed:
    """What an estimator makes of a batch.

    advantage: [B]; counted: [B], the rows that the estimator would have rolled out.
    incomplete: groups for which the data do not hold all that the estimator reads.
    read: groups for which they hold what other data lack.
    """

    name: str
    advantage: Floats
    counted: Bools
    incomplete: int = 0
    read: int = 0


def grpo(batch: Batch) -> Replayed:
    """(r − mean) / (std + 1e-6) over the group's originals, std with n − 1, as verl has it."""
    return Replayed("GRPO", _group_scores(batch, batch.reward, GRPO_EPS), batch.original)


def dapo(batch: Batch) -> Replayed:
    """GRPO's advantages without the groups whose accuracies are all equal (dynamic sampling).

    The metric is `acc`, as in verl's recipe (`algorithm.filter_groups.metric`).
    """
    advantage = grpo(batch).advantage
    uneven = _spread(batch, batch.acc) > 0
    return Replayed("DAPO", np.where(uneven[batch.group], advantage, 0.0), batch.original)


def grpo_care(batch: Batch, settings: GrpoCareConfig) -> Replayed:
    """GRPO-CARE, exact where the data have the reference's likelihood of every answer of a group.

    The consistency bonus goes to accurate rows whose answer the reference model finds at least as
    likely, given the rationale, as it does on average over the group's accurate rows. Groups that
    have these likelihoods are `read`. Without them rewards decide as far as they can: the only
    accurate row of a group is its own average and has the bonus for certain; a group with two or
    more is replayed without it and counted as incomplete.
    """
    rows = batch.original
    acc, group = torch.from_numpy(batch.acc[rows]), torch.from_numpy(batch.group[rows])
    accurate = np.zeros_like(rows)
    accurate[rows] = accurate_rows(acc, group, settings).numpy()
    number = batch.per_group(accurate, rows)
    told = np.array([row.likelihood is not None for row in batch.rollouts])
    read = batch.per_group(told, rows) == batch.per_group(np.ones_like(told), rows)
    # Any likelihood does for a row that is compared with none but itself.
    substitute = np.where(accurate & (number == 1)[batch.group], 1.0, np.nan)
    values = np.array([row.likelihood for row in batch.rollouts], dtype=np.float64)
    likelihood = np.where(read[batch.group], values, substitute)
    result = grpo_care_advantages(
        reward=torch.from_numpy(batch.reward[rows]),
        acc=acc,
        likelihood=torch.from_numpy(likelihood[rows]),
        uid=batch.group[rows].tolist(),
        config=settings,
    )
    advantage = np.zeros(len(rows))
    advantage[rows] = result.advantage.numpy()
    incomplete = int((~read & (number > 1)).sum())
    return Replayed("GRPO-CARE", advantage, rows, incomplete, int(read.sum()))


def _group_scores(batch: Batch, reward: Floats, eps: float) -> Floats:
    """Centred on the group's mean, divided by its deviation; exactly 0 where all are equal."""
    rows, group = batch.original, batch.group
    count = batch.per_group(np.ones_like(reward), rows)
    # Relative to one of the group's rewards, equal rewards leave no rounding to divide by eps.
    centred = reward - _lowest(batch, reward)[group]
    centred = centred - (batch.per_group(centred, rows) / count)[group]
    deviation = np.sqrt(batch.per_group(centred**2, rows) / np.maximum(count - 1, 1))
    return np.where(rows, centred / (deviation[group] + eps), 0.0)


def _lowest(batch: Batch, values: Floats) -> Floats:
    lowest = np.full(len(batch.kind), np.inf)
    np.minimum.at(lowest, batch.group[batch.original], values[batch.original])
    return lowest


def _spread(batch: Batch, values: Floats) -> Floats:
    """Largest minus smallest value of each group's originals."""
    return -_lowest(batch, -values) - _lowest(batch, values)
