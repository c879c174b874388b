"""Numbers that show whether CARE does what it claims, from one batch of advantages."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from care_verl.algorithm.advantage import ANCHOR, NEGATIVE, OUTSIDE, POSITIVE, CareAdvantages
from care_verl.algorithm.config import CareConfig
from care_verl.algorithm.reward import is_positive
from care_verl.algorithm.selection import ALL_RIGHT, ALL_WRONG, MIXED

_NO_SPREAD = 1e-4


def care_metrics(
    result: CareAdvantages,
    acc: Tensor,
    think_len: Tensor,
    reflected_from: Tensor,
    config: CareConfig,
    rgr_skipped: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """Metrics of one batch, over *all* its rows, before any are dropped.

    Keys (numbers of groups or rows unless said otherwise; a mean or ratio over nothing is left
    out, all counts are always there):

    - `groups/mixed`, `groups/all_wrong`, `groups/rescued`, `groups/all_right`, `groups/skipped`
      (every group without an update, for whatever reason).
    - `kprime/hist_0` ... `kprime/hist_K`: groups by K', the negatives selected.
    - `signature/anchor_k{n}`, `signature/negative_k{n}` (Figure 2): mean A_raw of anchors and of
      negatives over the groups with n negatives in S and no other positive than the anchor,
      beside `signature/anchor_theory_k{n}` = sqrt(n) and `signature/negative_theory_k{n}` =
      -1/sqrt(n) (Eq. 10). **Settled**: n is K_S, which is K' unless a failed reflection joined;
      a successful one makes a second positive, for which Eq. 10 makes no statement.
    - `signal/failure_share`: see `failure_share`, over rows.
    - `rgr/triggered`, `rgr/succeeded`, `rgr/success_rate`, `rgr/skipped/{reason}`.
    - `anchor/think_len`: mean rationale tokens over the anchors of mixed groups.
    - `variance/negative`, `variance/positive` and `variance/ratio` (Figure 6): Var(A-), Var(A+)
      and their quotient, population variances of the final advantages over the batch's
      negatives, and over its anchors and positives. **Settled**: no quotient where the standard
      deviation of A+ is below 1e-4 of its root mean square: with binary rewards and
      equalisation every anchor has sqrt(K), and what is left is rounding.
    - `rows/total`, `rows/updated` (advantage not 0), `rows/updated_share`.

    Args:
        result: what `care_advantages` returned for these rows.
        acc: [B]; think_len, reflected_from: integer [B].
        config: the settings, for the range of the histogram.
        rgr_skipped: groups that went without a reflection, by reason.
    """
    return {
        **_group_metrics(result, config),
        **_signature(result, config),
        **_rgr_metrics(acc, reflected_from, rgr_skipped or {}),
        **_row_metrics(result, acc, think_len),
    }


def failure_share(advantage: Tensor, acc: Tensor) -> float | None:
    """Share of sum |advantage| that comes from rows with acc != 1; None if the sum is 0.

    Takes sequence advantages [B] or token advantages [B, T]. Both agree up to eps_w, but for
    rows without any region weight, which only the latter leave out.
    """
    size = advantage.abs().double().flatten(1).sum(1) if advantage.ndim > 1 else advantage.abs()
    size = size.double()
    total = float(size.sum())
    return float(size[~is_positive(acc)].sum()) / total if total else None


def _group_metrics(result: CareAdvantages, config: CareConfig) -> dict[str, float]:
    kind, updated = result.kind, result.k_s > 0
    metrics = {
        "groups/mixed": float((kind == MIXED).sum()),
        "groups/all_wrong": float((kind == ALL_WRONG).sum()),
        "groups/rescued": float(((kind == ALL_WRONG) & updated).sum()),
        "groups/all_right": float((kind == ALL_RIGHT).sum()),
        "groups/skipped": float((~updated).sum()),
    }
    histogram = result.k_prime.bincount(minlength=config.K + 1).tolist()
    return metrics | {f"kprime/hist_{k}": float(count) for k, count in enumerate(histogram)}


def _signature(result: CareAdvantages, config: CareConfig) -> dict[str, float]:
    role, group = result.role_code, result.group
    two_positives = torch.zeros_like(result.k_s, dtype=torch.bool)
    two_positives[group[role == POSITIVE]] = True
    metrics: dict[str, float] = {}
    for n in range(1, config.K + 2):
        chosen = ((result.k_s == n) & ~two_positives)[group]
        anchors = result.raw[chosen & (role == ANCHOR)]
        if not len(anchors):
            continue
        negatives = result.raw[chosen & (role == NEGATIVE)]
        metrics[f"signature/anchor_k{n}"] = float(anchors.mean())
        metrics[f"signature/anchor_theory_k{n}"] = math.sqrt(n)
        metrics[f"signature/negative_k{n}"] = float(negatives.mean())
        metrics[f"signature/negative_theory_k{n}"] = -1 / math.sqrt(n)
    return metrics


def _rgr_metrics(
    acc: Tensor, reflected_from: Tensor, skipped: Mapping[str, int]
) -> dict[str, float]:
    reflected = reflected_from >= 0
    triggered = float(reflected.sum())
    succeeded = float((reflected & is_positive(acc)).sum())
    metrics = {"rgr/triggered": triggered, "rgr/succeeded": succeeded}
    if triggered:
        metrics["rgr/success_rate"] = succeeded / triggered
    return metrics | {f"rgr/skipped/{reason}": float(n) for reason, n in skipped.items()}


def _row_metrics(result: CareAdvantages, acc: Tensor, think_len: Tensor) -> dict[str, float]:
    role, advantage = result.role_code, result.advantage.double()
    updated = float((advantage != 0).sum())
    metrics = {
        "rows/total": float(len(advantage)),
        "rows/updated": updated,
        "rows/updated_share": updated / len(advantage),
    }
    share = failure_share(result.advantage, acc)
    if share is not None:
        metrics["signal/failure_share"] = share
    true_anchor = (role == ANCHOR) & is_positive(acc)
    if true_anchor.any():
        metrics["anchor/think_len"] = float(think_len[true_anchor].double().mean())
    below = advantage[role == NEGATIVE]
    above = advantage[(role != NEGATIVE) & (role != OUTSIDE)]
    if len(below) and len(above):
        spread_below, spread_above = (float(a.var(correction=0)) for a in (below, above))
        metrics |= {"variance/negative": spread_below, "variance/positive": spread_above}
        if spread_above > _NO_SPREAD**2 * float(above.square().mean()):
            metrics["variance/ratio"] = spread_below / spread_above
    return metrics
