"""Figures that are series over steps and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from care_verl.methods import Figure, Method
from care_verl.tools.report.figures.drawing import Drawing, Panel, over_steps_figure
from care_verl.tools.report.lines import Line
from care_verl.tools.report.series import (
    ANCHOR_LENGTH,
    CLIP_RATE,
    FAILURE_SHARE,
    KL,
    VARIANCE_RATIO,
    metric,
    right_length,
)
from care_verl.tools.report.series import failure_share as share_from_failures

Draw = Callable[[Sequence[Line]], Drawing]

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


def of_method(method: Method, figure: Figure) -> Draw:
    """What draws a figure of a method's own, from its metrics alone."""
    panels = [
        Panel(curve.title, curve.unit, metric(curve.metric), f"`{curve.metric}`", curve.share)
        for curve in figure.curves
    ]

    def draw(lines: Sequence[Line]) -> Drawing:
        if not any(panel.pick(run) for panel in panels for line in lines for run in line.seeds):
            return Drawing(None, [f"*{line.label}*: no `{method.name}/…`" for line in lines])
        return over_steps_figure(lines, panels)

    return draw
