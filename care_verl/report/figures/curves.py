"""Figures that are series over steps and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from care_verl.report.figures.drawing import Drawing, Panel, over_steps_figure
from care_verl.report.lines import Line
from care_verl.report.series import (
    ANCHOR_LENGTH,
    BONUS_RATE,
    CLIP_RATE,
    FAILURE_SHARE,
    KL,
    LIKELIHOOD,
    LIKELIHOOD_OF_OTHERS,
    VARIANCE_RATIO,
    metric,
    right_length,
)
from care_verl.report.series import failure_share as share_from_failures

_CLIP = Panel(
    "clip rate, trained tokens of negatives", "clipped", metric(CLIP_RATE), f"`{CLIP_RATE}`", True
)
_RATIO = Panel(
    "variance ratio, negatives to positives",
    "Var(A⁻) / Var(A⁺)",
    metric(VARIANCE_RATIO),
    f"`{VARIANCE_RATIO}` (there is none where A⁺ has no spread)",
)
_ANCHORS = Panel("anchors", "rationale tokens", metric(ANCHOR_LENGTH), f"`{ANCHOR_LENGTH}`")
_RIGHT = Panel("all right rollouts", "rationale tokens", right_length, "recorded rows")
_KL = Panel("KL to the reference policy", "KL per token", metric(KL), f"`{KL}`")
_SHARE = Panel(
    "learning signal from failures",
    "share of Σ|A|",
    share_from_failures,
    f"`{FAILURE_SHARE}`, nor recorded rows",
    True,
)
_BONUS = Panel("accurate rows with the bonus", "share", metric(BONUS_RATE), f"`{BONUS_RATE}`", True)
_LIKELY = Panel(
    "answers of accurate rows", "mean likelihood", metric(LIKELIHOOD), f"`{LIKELIHOOD}`"
)
_OTHERS = Panel(
    "answers of the others",
    "mean likelihood",
    metric(LIKELIHOOD_OF_OTHERS),
    f"`{LIKELIHOOD_OF_OTHERS}`",
)


def negatives(lines: Sequence[Line]) -> Drawing:
    """Clip rate on negatives and the variance ratio (Figure 6)."""
    return over_steps_figure(lines, [_CLIP, _RATIO])


def rationale(lines: Sequence[Line]) -> Drawing:
    """Rationale tokens of anchors, and of all right originals (Figure 11)."""
    return over_steps_figure(lines, [_ANCHORS, _RIGHT])


def kl(lines: Sequence[Line]) -> Drawing:
    """KL per step (Figure 10)."""
    return over_steps_figure(lines, [_KL])


def failure_share(lines: Sequence[Line]) -> Drawing:
    """Share of the sum of |A| that comes from rows with acc 0."""
    return over_steps_figure(lines, [_SHARE])


def consistency(lines: Sequence[Line]) -> Drawing:
    """GRPO-CARE: who gets the bonus, and how likely its reference finds the answers."""
    panels = [_BONUS, _LIKELY, _OTHERS]
    if not any(panel.pick(run) for panel in panels for line in lines for run in line.runs):
        return Drawing(None, [f"*{line.label}*: no `grpo_care/…`" for line in lines])
    return over_steps_figure(lines, panels)
