"""The specification once more as plain loops over Python numbers, and random batches for it.

Slow and direct on purpose: one group at a time, one row at a time, no padding and no tensors. The
KL term alone is of tensors, as tests take its gradient.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from care_verl.algorithm import CareAdvantages, CareConfig, care_advantages


@dataclass
class Row:
    uid: str
    acc: float
    reward: float
    think_len: int
    answer_len: int
    embedding: list[float]
    logp: float
    source: int = -1


@dataclass
class Outcome:
    advantage: float = 0.0
    raw: float = 0.0
    role: str = "outside"


def reference(rows: Sequence[Row], config: CareConfig) -> list[Outcome]:
    """Advantages of all rows by the specification's numbered steps."""
    outcomes = [Outcome() for _ in rows]
    for uid in dict.fromkeys(row.uid for row in rows):
        _group([i for i, row in enumerate(rows) if row.uid == uid], rows, config, outcomes)
    return outcomes


def _group(
    members: list[int], rows: Sequence[Row], config: CareConfig, outcomes: list[Outcome]
) -> None:
    originals = [i for i in members if rows[i].source < 0]
    positives = [i for i in originals if rows[i].acc == 1]
    failed = [i for i in originals if rows[i].acc != 1]
    if positives:
        anchor = min(positives, key=lambda i: (rows[i].think_len, rows[i].answer_len, i))
    elif config.rescue:
        anchor = max(failed, key=lambda i: (rows[i].logp, -i))
    else:
        return
    chosen = _negatives(anchor, [i for i in failed if i != anchor], rows, config)
    if not chosen:
        return
    subgroup = {anchor, *chosen}
    reward = {i: rows[i].reward for i in members}
    if not positives:
        reward |= {i: -config.delta / len(chosen) for i in chosen} | {anchor: config.delta}
    for i in members:
        if rows[i].source >= 0:
            subgroup.add(i)
            if rows[i].acc == 1:
                subgroup.discard(rows[i].source)
    negatives = [i for i in subgroup if i != anchor and rows[i].acc != 1]
    if not negatives:
        return
    centre, scale = _statistics([reward[i] for i in sorted(subgroup)], config)
    factor = 1.0
    if config.equalize and len(negatives) < config.K:
        factor = math.sqrt(config.K / len(negatives))
    for i in subgroup:
        raw = (reward[i] - centre) / (scale + config.eps)
        advantage, role = raw, "anchor" if i == anchor else "positive"
        if i in negatives:
            advantage = -(config.s_refl if rows[i].source >= 0 else config.s) * abs(raw)
            role = "negative"
        outcomes[i] = Outcome(advantage * factor, raw, role)


def _distance(i: int, j: int, rows: Sequence[Row]) -> float:
    return 1 - sum(a * b for a, b in zip(rows[i].embedding, rows[j].embedding, strict=True))


def _negatives(anchor: int, pool: list[int], rows: Sequence[Row], config: CareConfig) -> list[int]:
    wanted = min(config.K, len(pool))
    ranked = sorted(pool, key=lambda i: (_distance(i, anchor, rows), i))
    if config.selector == "farthest":
        return sorted(pool, key=lambda i: (-_distance(i, anchor, rows), i))[:wanted]
    if config.selector == "mixed":
        near = ranked[: math.ceil(wanted / 2)]
        rest = sorted(set(pool) - set(near), key=lambda i: (-_distance(i, anchor, rows), i))
        return near + rest[: wanted // 2]
    ranked = ranked[: max(config.M, wanted)]
    chosen = ranked[:1]
    while len(chosen) < wanted:
        best = max(
            (i for i in ranked if i not in chosen),
            key=lambda i: (min(_distance(i, j, rows) for j in chosen), -ranked.index(i)),
        )
        chosen.append(best)
    return chosen


def _statistics(rewards: list[float], config: CareConfig) -> tuple[float, float]:
    if config.normalization == "zscore":
        return statistics.fmean(rewards), statistics.pstdev(rewards)
    cut = math.floor(config.trim * len(rewards))
    centre = statistics.fmean(sorted(rewards)[cut : len(rewards) - cut])
    median = statistics.median(rewards)
    mad = statistics.median(abs(r - median) for r in rewards)
    if mad <= config.eps:
        mad = math.sqrt(statistics.fmean((r - centre) ** 2 for r in rewards))
    return centre, mad


def run(rows: Sequence[Row], config: CareConfig) -> CareAdvantages:
    """The same rows through the vectorised implementation."""

    def column(name: str, dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor([getattr(row, name) for row in rows], dtype=dtype)

    return care_advantages(
        reward=column("reward", torch.float64),
        acc=column("acc", torch.float64),
        uid=[row.uid for row in rows],
        think_len=column("think_len", torch.int64),
        answer_len=column("answer_len", torch.int64),
        embedding=column("embedding", torch.float64),
        logp_old=column("logp", torch.float64),
        reflected_from=column("source", torch.int64),
        config=config,
    )


def random_rows(
    seed: int, groups: int, size: int, reflect: bool = True, distinct: bool = False
) -> list[Row]:
    """Groups of 1 to `size` originals in shuffled order, some with a reflection.

    Lengths collide often unless `distinct`, so that tie-breaking is exercised. The accuracy of a
    failure is sometimes a fraction; a positive may be badly formatted and a failure well.
    """
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for g in range(groups):
        rate = rng.choice([0.0, 0.3, 0.6, 1.0], p=[0.2, 0.4, 0.3, 0.1])
        start = len(rows)
        for _ in range(rng.integers(1, size + 1)):
            rows.append(_random_row(rng, f"g{g}", rate, distinct))
        failed = [i for i in range(start, len(rows)) if rows[i].acc != 1]
        if reflect and 0 < len(failed) < len(rows) - start and rng.random() < 0.7:
            rows.append(_random_row(rng, f"g{g}", 0.5, distinct))
            rows[-1].source = int(rng.choice(failed))
    return permuted(rows, rng.permutation(len(rows)).tolist())


def permuted(rows: Sequence[Row], order: Sequence[int]) -> list[Row]:
    """Rows in a new order: place p holds the old row `order[p]`, sources follow."""
    place = {old: new for new, old in enumerate(order)}
    return [Row(**(vars(rows[old]) | {"source": place.get(rows[old].source, -1)})) for old in order]


def _random_row(rng: np.random.Generator, uid: str, rate: float, distinct: bool) -> Row:
    acc = 1.0 if rng.random() < rate else float(rng.choice([0.0, 0.0, 0.0, 0.5]))
    embedding = rng.normal(size=6)
    span = 1_000_000_000 if distinct else 3
    return Row(
        uid=uid,
        acc=acc,
        reward=0.9 * acc + 0.1 * float(rng.integers(0, 2)),
        think_len=int(rng.integers(0, span)),
        answer_len=int(rng.integers(0, span)),
        embedding=(embedding / np.linalg.norm(embedding)).tolist(),
        logp=float(rng.normal() * 10) if distinct else float(rng.integers(-9, -5)),
    )


def kl_penalty(
    log_prob: torch.Tensor,
    ref_log_prob: torch.Tensor,
    mask: torch.Tensor,
    updated: torch.Tensor,
    num_rows: int,
) -> torch.Tensor:
    """Eq. 13 without beta: k3 over a row's response tokens, then over the |S*| updated rows.

    **Settled**, as the paper names no estimator and no reduction. A run takes verl's, which is the
    same with a token's k3 held at 10. [B, T] each, `updated` bool [B]; this one has a gradient.
    """
    d = (ref_log_prob - log_prob).masked_fill(mask == 0, 0.0)
    per_row = (d.exp() - d - 1).sum(1) / (mask != 0).sum(1).clamp(min=1)
    return per_row.masked_fill(~updated, 0.0).sum() / max(num_rows, 1)
