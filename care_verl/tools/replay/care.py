"""CARE's advantages of replayed rows, by `care_advantages`, and what stood in for missing data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from care_verl.algorithm import CareConfig, care_advantages
from care_verl.algorithm.groups import ORIGINAL
from care_verl.algorithm.selection import ALL_WRONG
from care_verl.tools.replay.batch import Batch, Floats
from care_verl.tools.replay.embedding import DIMENSIONS, substitute
from care_verl.tools.replay.estimators import Replayed
from care_verl.tools.replay.rollouts import Rollout

_GROUPS_AT_ONCE = 256
_HERE, _FAR = (1.0, 0.0), (-1.0, 0.0)

RECORDED, DISTANCES, WORDS = "recorded", "distances", "words"
"""Where a group's hard negatives come from: the record itself; recorded distances to the anchor;
the stand-in for embeddings."""


@dataclass(frozen=True)
class Stands:
    """Numbers of groups: by where negatives come from, and those rescued by length."""

    recorded: int = 0
    distances: int = 0
    words: int = 0
    without_logp: int = 0


def care(batch: Batch, config: CareConfig, selection_as_recorded: bool) -> tuple[Replayed, Stands]:
    """Replay CARE with `config`.

    A record has each row's distance to the anchor, but not those between failures, by which the
    farthest-first pass chooses. `selection_as_recorded` says that K, M and the rescue are the
    run's: then the negatives are those of the record, which makes the advantages exact. Otherwise
    a row stands in the plane at its recorded angle to the anchor, and rows of other dumps at
    `substitute` of their rationale.

    Without log-probabilities the pseudo-anchor of an all-wrong group is its shortest response.
    """
    advantage = np.zeros(len(batch.rollouts))
    sources: dict[str, list[list[int]]] = {RECORDED: [], DISTANCES: [], WORDS: []}
    for number, rows in enumerate(_groups(batch)):
        wrong = bool(batch.kind[number] == ALL_WRONG)
        source = _source([batch.rollouts[i] for i in rows], wrong, selection_as_recorded)
        sources[source].append(rows)
    for source, groups in sources.items():
        for start in range(0, len(groups), _GROUPS_AT_ONCE):
            rows = [i for group in groups[start : start + _GROUPS_AT_ONCE] for i in group]
            advantage[rows] = _advantages([batch.rollouts[i] for i in rows], source, config)
    unlikely = [number for number, rows in enumerate(_groups(batch)) if not _has_logp(batch, rows)]
    stands = Stands(
        **{source: len(groups) for source, groups in sources.items()},
        without_logp=int((batch.kind[unlikely] == ALL_WRONG).sum()) if config.rescue else 0,
    )
    return Replayed("CARE", advantage, np.ones(len(advantage), dtype=np.bool_)), stands


def _groups(batch: Batch) -> list[list[int]]:
    ends = np.flatnonzero(np.diff(batch.group)) + 1
    return [rows.tolist() for rows in np.split(np.arange(len(batch.group)), ends)]


def _has_logp(batch: Batch, rows: list[int]) -> bool:
    return all(batch.rollouts[i].logp is not None for i in rows)


def _source(rows: list[Rollout], wrong: bool, selection_as_recorded: bool) -> str:
    recorded = [row.recorded for row in rows if row.reflected_from == ORIGINAL]
    if any(known is None for known in recorded):
        return WORDS
    known = [one for one in recorded if one is not None]
    if selection_as_recorded and (not wrong or any(one.anchor for one in known)):
        return RECORDED
    return DISTANCES if all(one.d_cos is not None for one in known) else WORDS


def _advantages(rows: list[Rollout], source: str, config: CareConfig) -> Floats:
    places = {(row.group, row.session): i for i, row in enumerate(rows)}
    reflected_from = [
        ORIGINAL if row.reflected_from == ORIGINAL else places[row.group, row.reflected_from]
        for row in rows
    ]
    logp = _logp(rows, source, config)
    if source == RECORDED:
        # The failures of the record's selection are the nearest, and no more are preselected.
        config = replace(config, selector="nearest", M=1)
    result = care_advantages(
        reward=torch.tensor([row.reward for row in rows], dtype=torch.float64),
        acc=torch.tensor([row.acc for row in rows], dtype=torch.float64),
        uid=[row.group for row in rows],
        think_len=torch.tensor([row.think_len for row in rows]),
        answer_len=torch.tensor([row.answer_len for row in rows]),
        embedding=torch.from_numpy(_embeddings(rows, source)),
        logp_old=torch.tensor(logp, dtype=torch.float64),
        reflected_from=torch.tensor(reflected_from),
        config=replace(config, rescue_logp="sum"),
        reasoned=torch.tensor([_may_be_anchor(row, source) for row in rows]),
    )
    return result.advantage.double().numpy()


def _may_be_anchor(row: Rollout, source: str) -> bool:
    """Of the positives: whether this one comes before those that do not reason."""
    if source == RECORDED:
        return row.recorded is not None and row.recorded.anchor
    return row.reasoned


def _embeddings(rows: Sequence[Rollout], source: str) -> Floats:
    if source == WORDS:
        vectors = [substitute(row.rationale) for row in rows]
        return np.stack(vectors) if vectors else np.zeros((0, DIMENSIONS))
    place = _as_recorded if source == RECORDED else _at_distance
    return np.array([place(row) for row in rows])


def _as_recorded(row: Rollout) -> tuple[float, float]:
    left_out = row.recorded is not None and not (row.recorded.selected or row.recorded.anchor)
    return _FAR if left_out and row.acc != 1 else _HERE


def _at_distance(row: Rollout) -> tuple[float, float]:
    """The unit vector whose cosine distance to (1, 0) is the recorded one."""
    if row.recorded is None or row.recorded.d_cos is None or row.recorded.anchor:
        return _HERE
    cosine = max(-1.0, min(1.0, 1 - row.recorded.d_cos))
    return cosine, math.sqrt(1 - cosine**2)


def _logp(rows: list[Rollout], source: str, config: CareConfig) -> list[float]:
    """What picks the pseudo-anchor; any number in other groups."""
    if source == RECORDED:
        return [0.0 if row.recorded is not None and row.recorded.anchor else -1.0 for row in rows]
    missing = {row.group for row in rows if row.logp is None}
    values = []
    for row in rows:
        if row.logp is None or row.group in missing:
            values.append(-float(row.length))
        else:
            values.append(
                row.logp / max(row.length, 1) if config.rescue_logp == "mean" else row.logp
            )
    return values
