"""The K' signature of a run's own groups (Section 3.4, Eqs. 9 and 10; Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from care_verl.tools.report.groups import Groups
from care_verl.tools.statistics import (
    Estimate,
    Fit,
    Floats,
    estimate,
    least_squares,
    pearson,
)

REQUIRED_R = 0.998
"""The paper's Pearson r."""

ALLOWED_DEVIATION = 1e-3
"""Of A_raw/sqrt(n) from alpha. Rounding and the epsilon of Eq. 6 stay below it where the rewards of
a group spread by more than about 1e-3. Correlation alone would not see a common factor."""

_NO_SPREAD = 1e-4
"""Standard deviation of alpha; below it rounding would show in the correlation."""


def shown_groups(groups: Groups) -> Groups:
    """The groups of the figure: updated, the anchor the only positive.

    For a second positive, a successful reflection, Eqs. 9 and 10 make no statement. n = K_S counts
    a failed reflection, which is a negative of the subgroup that was normalised.
    """
    return groups.where((groups.k_s > 0) & ~groups.second_positive)


@dataclass(frozen=True)
class Bucket:
    """Groups with n negatives: A_raw of the anchor and mean A_raw of the negatives."""

    n: int
    anchor: Estimate
    negative: Estimate


def buckets(groups: Groups) -> list[Bucket]:
    """One bucket for each n among the groups."""
    return [
        Bucket(int(n), estimate(groups.anchor_raw[own]), estimate(groups.negative_raw[own]))
        for n in np.unique(groups.k_s)
        for own in [groups.k_s == n]
    ]


def fits(found: list[Bucket]) -> tuple[Fit | None, Fit | None]:
    """Least squares on the bucket means, as in Figure 2: anchor against sqrt(n), negatives against
    1/sqrt(n), the latter with the sign turned."""
    root = np.sqrt([bucket.n for bucket in found])
    anchor = np.array([bucket.anchor.mean for bucket in found])
    negative = np.array([-bucket.negative.mean for bucket in found])
    return least_squares(root, anchor), least_squares(1 / root, negative)


def attenuation(groups: Groups) -> Floats:
    """alpha of each group from its rewards alone (Eq. 9), with Var_- their population variance.

    With this variance Eq. 9 is exact for any rewards, up to epsilon. The proof's K' Var_- in place
    of (K' + 1) Var_- (Section 7) is for the variance of the distribution they were drawn from.
    """
    return (1 + (groups.k_s + 1) * groups.spread / groups.gap**2) ** -0.5


@dataclass(frozen=True)
class Points:
    """The groups that enter the check: alpha from rewards, and what A_raw says it is."""

    alpha: Floats
    anchor: Floats
    negative: Floats


@dataclass(frozen=True)
class Check:
    """The theory-normalised check over `groups` groups.

    r_anchor, r_negative: Pearson's r of A_raw/sqrt(n) of the anchor, and of -sqrt(n) times the
    negatives' mean A_raw, with alpha; None where alpha is the same in all groups.
    deviation: the largest distance of either from alpha. left_out: groups that did not enter.
    """

    groups: int
    r_anchor: float | None
    r_negative: float | None
    deviation: float
    left_out: Mapping[str, int]

    @property
    def holds(self) -> bool:
        rs = (self.r_anchor, self.r_negative)
        return self.deviation <= ALLOWED_DEVIATION and all(r is None or r >= REQUIRED_R for r in rs)


def check_points(groups: Groups) -> tuple[Points, dict[str, int]]:
    """The groups whose rewards are graded, and how many others there are, by reason."""
    reasons = {
        "no update": groups.k_s == 0,
        "a second positive": groups.second_positive,
        "rescued: normalised on pseudo-rewards, where alpha is 1": groups.kind == "all_wrong",
        "equal rewards of all negatives, where alpha is 1": groups.spread == 0,
        "an anchor without more reward than its negatives": ~(groups.gap > 0),
    }
    enters = np.ones(len(groups), dtype=bool)
    left_out = {}
    for reason, applies in reasons.items():
        count = int((enters & applies).sum())
        if count:
            left_out[reason] = count
        enters &= ~applies
    chosen = groups.where(enters)
    root = np.sqrt(chosen.k_s)
    return (
        Points(attenuation(chosen), chosen.anchor_raw / root, -chosen.negative_raw * root),
        left_out,
    )


def check(groups: Groups) -> Check | None:
    """The check, or None where no group enters."""
    points, left_out = check_points(groups)
    if not len(points.alpha):
        return None
    sides = (points.anchor, points.negative)
    r_anchor, r_negative = (pearson(points.alpha, side, _NO_SPREAD) for side in sides)
    deviation = max(float(np.abs(side - points.alpha).max()) for side in sides)
    return Check(len(points.alpha), r_anchor, r_negative, deviation, left_out)
