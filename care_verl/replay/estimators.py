"""Sequence advantages of GRPO, DAPO and GRPO-CARE; CARE's are in `care`.

Reflections are no rollouts of theirs: such rows have advantage 0 and are not `counted`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from care_verl.replay.batch import Batch, Bools, Floats

GRPO_EPS = 1e-6
"""verl 0.9.1, `compute_grpo_outcome_advantage`."""
GRPO_CARE_EPS = 1e-4
BONUS = 0.5
ACCURATE = 0.1
"""GRPO-CARE (arXiv 2506.16141) and its code: share of the accuracy that is the bonus; a row is
accurate above this and not below its group's mean."""


@dataclass(frozen=True)
class Replayed:
    """What an estimator makes of a batch.

    advantage: [B]; counted: [B], the rows that the estimator would have rolled out.
    incomplete: groups for which the data do not hold all that the estimator reads.
    """

    name: str
    advantage: Floats
    counted: Bools
    incomplete: int = 0


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


def grpo_care(batch: Batch) -> Replayed:
    """GRPO-CARE as far as rewards alone determine it; ε is 1e-4.

    The consistency bonus, half of the accuracy, goes to accurate rows whose answer the reference
    model finds at least as likely, given the rationale, as it does on average over the group's
    accurate rows (margin 0). The only accurate row of a group is its own average and has it for
    certain. With two or more the likelihoods decide, which no dump has: such a group is replayed
    without the bonus and counted as incomplete.
    """
    count = batch.per_group(np.ones_like(batch.acc), batch.original)
    mean = batch.per_group(batch.acc, batch.original) / count
    accurate = batch.original & (batch.acc > ACCURATE) & (batch.acc >= mean[batch.group])
    number = batch.per_group(accurate, batch.original)
    sole = accurate & (number == 1)[batch.group]
    reward = batch.reward + np.where(sole, BONUS * batch.acc, 0.0)
    advantage = _group_scores(batch, reward, GRPO_CARE_EPS)
    return Replayed("GRPO-CARE", advantage, batch.original, int((number > 1).sum()))


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
