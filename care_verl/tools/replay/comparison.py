"""The estimators side by side on the same groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from care_verl.algorithm import CareConfig
from care_verl.algorithm.selection import KINDS
from care_verl.methods import METHODS
from care_verl.tools.replay.batch import Batch, Floats
from care_verl.tools.replay.care import Stands, care
from care_verl.tools.replay.estimators import Replayed, dapo, grpo, grpo_care
from care_verl.tools.replay.rollouts import Dump


@dataclass(frozen=True)
class Changes:
    """Settings of CARE to replay with in the place of the dump's; None leaves them."""

    K: int | None = None
    M: int | None = None
    s: float | None = None
    equalize: bool | None = None
    rescue: bool | None = None

    def of(self, config: CareConfig) -> CareConfig:
        """The changed settings. Raises ValueError where one is out of range."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        if "s" in given and "s_refl" not in given:
            given["s_refl"] = config.s_refl * given["s"] / config.s
        return replace(config, **given)


@dataclass(frozen=True)
class Outcome:
    """Numbers of one estimator. Sums and shares are over its rows' sequence advantages A.

    rows: rolled out; updated: with A ≠ 0. signal: Σ|A| by kind of group.
    failure_share: of Σ|A|, from rows with acc ≠ 1; None where Σ|A| is 0.
    silent_groups: all of whose A are 0. opposite: rows whose A has the other sign than under GRPO;
    gained: rows with A = 0 under GRPO only; lost: with A = 0 here only.
    mean_size: mean |A| of updated rows. incomplete, read: see `Replayed`.
    """

    name: str
    rows: int
    updated: int
    updated_share: float
    signal: dict[str, float]
    failure_share: float | None
    silent_groups: int
    opposite: int
    gained: int
    lost: int
    mean_size: float | None
    incomplete: int
    read: int


@dataclass(frozen=True)
class Comparison:
    """groups: their number by kind. sizes: smallest and largest number of originals in one.

    recorded_distance: largest |A − A of the record| of CARE, where the settings are the run's.
    consistency_distance: the same of GRPO-CARE, where the file is of such a run.
    sign_agreement: share of rows whose advantage in another framework's dump has the sign that
    GRPO gives it here; None where the dump has none.
    """

    groups: dict[str, int]
    sizes: tuple[int, int]
    reflections: int
    outcomes: list[Outcome]
    config: CareConfig
    stands: Stands
    without_rationale: int
    recorded_distance: float | None
    consistency_distance: float | None
    sign_agreement: float | None


def compare(dump: Dump, changes: Changes) -> Comparison:
    """Replay all estimators on the usable rows of a dump, of which there is at least one group."""
    batch = Batch.of(dump.rollouts)
    config = changes.of(dump.config)
    same = all(getattr(config, name) == getattr(dump.config, name) for name in ("K", "M", "rescue"))
    ours, stands = care(batch, config, selection_as_recorded=same)
    plain = grpo(batch)
    consistent = grpo_care(batch, dump.consistency)
    replayed = [plain, dapo(batch), consistent, ours, *_as_recorded(dump, batch)]
    count = batch.per_group(np.ones_like(batch.acc), batch.original)
    known = batch.original if stands.words else np.zeros_like(batch.original)
    empty = np.array([row.think_len == 0 for row in batch.rollouts])
    return Comparison(
        groups=batch.kinds(),
        sizes=(int(count.min()), int(count.max())),
        reflections=int((~batch.original).sum()),
        outcomes=[_outcome(batch, one, plain.advantage) for one in replayed],
        config=config,
        stands=stands,
        without_rationale=int((empty & known).sum()),
        recorded_distance=_distance(batch, ours, config == dump.config and _of_care(batch)),
        consistency_distance=_distance(batch, consistent, _of_grpo_care(batch)),
        sign_agreement=_agreement(batch, plain.advantage),
    )


def _as_recorded(dump: Dump, batch: Batch) -> Iterator[Replayed]:
    """The advantages of a record whose method is none of those that are replayed."""
    method = METHODS.get(dump.method or "")
    if method is None or _of_care(batch) or _of_grpo_care(batch):
        return
    told = np.array([row.advantage for row in batch.rollouts], dtype=np.float64)
    yield Replayed(f"{method.title}, recorded", told, batch.original)


def _outcome(batch: Batch, replayed: Replayed, plain: Floats) -> Outcome:
    advantage, counted = replayed.advantage, replayed.counted
    size, updated = np.abs(advantage), advantage != 0
    by_group = batch.per_group(size, counted)
    total = float(size.sum())
    rows = int(counted.sum())
    return Outcome(
        name=replayed.name,
        rows=rows,
        updated=int(updated.sum()),
        updated_share=int(updated.sum()) / rows,
        signal={name: float(by_group[batch.kind == code].sum()) for code, name in enumerate(KINDS)},
        failure_share=float(size[batch.acc != 1].sum()) / total if total else None,
        silent_groups=int((by_group == 0).sum()),
        opposite=int((advantage * plain < 0).sum()),
        gained=int((updated & (plain == 0)).sum()),
        lost=int((~updated & (plain != 0)).sum()),
        mean_size=total / int(updated.sum()) if updated.any() else None,
        incomplete=replayed.incomplete,
        read=replayed.read,
    )


def _of_care(batch: Batch) -> bool:
    """Whether the rows are of a record of CARE."""
    return any(row.recorded is not None for row in batch.rollouts)


def _of_grpo_care(batch: Batch) -> bool:
    """Whether the rows are of a GRPO-CARE run, and all have their advantage."""
    return all(row.likelihood is not None and row.advantage is not None for row in batch.rollouts)


def _distance(batch: Batch, replayed: Replayed, comparable: bool) -> float | None:
    """The largest distance to the advantages that the file has; None where it has others'."""
    if not comparable:
        return None
    told = np.array([row.advantage for row in batch.rollouts], dtype=np.float64)
    return float(np.abs(replayed.advantage - told).max())


def _agreement(batch: Batch, plain: Floats) -> float | None:
    """Over the rows of another framework's dump with an advantage."""
    pairs = [
        (row.advantage, ours)
        for row, ours in zip(batch.rollouts, plain, strict=True)
        if row.advantage is not None
        and row.recorded is None
        and row.likelihood is None
        and row.reflected_from < 0
    ]
    if not pairs:
        return None
    return sum(bool(np.sign(theirs) == np.sign(ours)) for theirs, ours in pairs) / len(pairs)
