"""The K' signature with its fits, and the theory-normalised check (Figure 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from care_verl.tools.report import style
from care_verl.tools.report.figures.drawing import Drawing, line_legend
from care_verl.tools.report.groups import Groups
from care_verl.tools.report.lines import Line
from care_verl.tools.report.signature import (
    Bucket,
    buckets,
    check,
    check_points,
    fits,
    shown_groups,
)
from care_verl.tools.statistics import Estimate, Fit

_OFFSET = 0.012


def draw(lines: Sequence[Line]) -> Drawing:
    """Left: anchors. Middle: negatives. Right: the check on groups with graded rewards."""
    found: list[tuple[int, Groups]] = []
    left_out = []
    for place, line in enumerate(lines):
        groups = line.groups
        if groups is None or not len(shown_groups(groups)):
            left_out.append(f"*{line.label}*: no recorded group that was updated with an anchor")
        else:
            found.append((place, groups))
    if not found:
        return Drawing(None, left_out)
    figure, (axes,) = style.panels(1, 3, height=2.7)
    largest = 1
    for place, groups in found:
        own = buckets(shown_groups(groups))
        largest = max(largest, own[-1].n)
        _draw_buckets(axes, own, place, lines[place].label)
        _draw_check(axes[2], groups, place)
        if check(groups) is None:
            left_out.append(f"the check of *{lines[place].label}*: no group with graded rewards")
    _finish(axes, largest)
    line_legend(figure, [axes[0]])
    return Drawing(figure, left_out)


def _draw_buckets(axes: np.ndarray, own: list[Bucket], place: int, label: str) -> None:
    root = np.sqrt([bucket.n for bucket in own])
    anchor, negative = fits(own)
    mirrored = [Estimate(-b.negative.mean, b.negative.half, b.negative.count) for b in own]
    _draw_side(axes[0], root, [bucket.anchor for bucket in own], anchor, place, label)
    _draw_side(axes[1], 1 / root, mirrored, negative, place, label)


def _draw_side(
    axes: Axes, x: np.ndarray, found: list[Estimate], fit: Fit | None, place: int, label: str
) -> None:
    look = style.look(place)
    shifted = x + _OFFSET * place
    half = np.nan_to_num([one.half for one in found])
    axes.errorbar(
        shifted,
        [one.mean for one in found],
        half,
        fmt=look.marker,
        color=look.color,
        capsize=3,
        markerfacecolor="white",
        label=f"{label}: means, 95 % CI, fit",
    )
    if fit is not None:
        ends = np.array([x.min(), x.max()])
        axes.plot(
            ends, fit.intercept + fit.slope * ends, color=look.color, linestyle=look.linestyle
        )
        # Adding 0 makes of -0.0 a 0.0.
        text = f"{look.sign} {round(fit.intercept, 3) + 0:.3f} {fit.slope:+.3f}·x"
        axes.text(
            0.97, 0.04 + 0.09 * place, text, transform=axes.transAxes, ha="right", color=look.color
        )


def _draw_check(axes: Axes, groups: Groups, place: int) -> None:
    points, _ = check_points(groups)
    made = check(groups)
    if made is None:
        return
    look = style.look(place)
    axes.plot(
        points.alpha,
        points.anchor,
        color=look.color,
        linestyle="",
        marker=look.marker,
        markerfacecolor="none",
        markersize=3,
        # One mark a group: as paths they would make the file grow with the run.
        rasterized=True,
    )
    r = "undefined" if made.r_anchor is None else f"{made.r_anchor:.5f}"
    text = f"{look.sign} r = {r}\n{made.groups} groups"
    axes.text(0.03, 0.97 - 0.16 * place, text, transform=axes.transAxes, va="top", color=look.color)


def _finish(axes: np.ndarray, largest: int) -> None:
    root = np.sqrt(np.arange(1, largest + 1))
    for own, ends in ((axes[0], (1.0, root[-1])), (axes[1], (1 / root[-1], 1.0))):
        low, high = ends[0] - 0.08, ends[1] + 0.08
        own.plot([low, high], [low, high], label="theory (Eq. 10)", **style.THEORY)
        own.set_xlim(low, high)
    axes[0].set(title="anchors", xlabel="√K′", ylabel="mean A_raw")
    axes[1].set(title="negatives", xlabel="1/√K′", ylabel="−mean A_raw")
    axes[2].set(title="check, graded rewards", xlabel="α from rewards", ylabel="A_raw/√K′, anchors")
    if axes[2].lines:
        low, high = axes[2].dataLim.intervalx
        margin = max(1e-3, 0.05 * (high - low))
        axes[2].plot([low - margin, high + margin], [low - margin, high + margin], **style.THEORY)
    else:
        axes[2].text(0.5, 0.5, "no group with\ngraded rewards", ha="center", va="center")
        axes[2].set(xticks=[], yticks=[])
        return
    for axis in (axes[2].xaxis, axes[2].yaxis):
        axis.set_major_locator(MaxNLocator(nbins=4))
        axis.set_major_formatter(FormatStrFormatter("%.3g"))
