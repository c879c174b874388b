"""RGR's success by mode (Figure 4) and the histogram of K'."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from care_verl.tools.report import style
from care_verl.tools.report.bands import over_steps
from care_verl.tools.report.figures.drawing import Drawing, draw_bands, finish, line_legend, picked
from care_verl.tools.report.lines import Line
from care_verl.tools.report.series import (
    RGR_RATE,
    RGR_SUCCEEDED,
    RGR_TRIGGERED,
    kprime_counts,
    metric,
)
from care_verl.tools.statistics import mean_and_half, wilson


def rgr(lines: Sequence[Line]) -> Drawing:
    """Share of right reflections: of all with Wilson's interval, and step by step."""
    counts = [(line.total(RGR_SUCCEEDED), line.total(RGR_TRIGGERED)) for line in lines]
    left_out = [
        f"*{line.label}*: no reflection"
        for line, (_, n) in zip(lines, counts, strict=True)
        if not n
    ]
    if len(left_out) == len(lines):
        return Drawing(None, left_out)
    figure, (axes,) = style.panels(1, 2)
    shown = [place for place, (_, n) in enumerate(counts) if n]
    for height, place in enumerate(shown):
        succeeded, triggered = counts[place]
        rate = succeeded / triggered
        low, high = wilson(int(succeeded), int(triggered))
        axes[0].barh(height, rate, height=0.5, **style.fill(place))
        axes[0].errorbar(rate, height, xerr=[[rate - low], [high - rate]], color="black", capsize=3)
        text = f"{rate:.1%} of {triggered:.0f}"
        axes[0].text(high + 0.02, height, text, va="center", fontsize=8.5)
        axes[0].text(0.01, height - 0.3, _rgr_name(lines[place]), va="bottom", fontsize=8.5)
    axes[0].set_yticks([])
    axes[0].set_ylim(len(shown) - 0.5, -0.8)
    axes[0].set_xlim(0, 1.4)
    axes[0].set_xticks([0, 0.5, 1])
    axes[0].xaxis.set_major_formatter(PercentFormatter(1.0))
    axes[0].grid(False)
    axes[0].set_title("reflections that are right")
    series, width = picked(lines, metric(RGR_RATE))
    bands = [over_steps(own) for own in series]
    draw_bands(axes[1], bands, [line.label for line in lines])
    finish(axes[1], "right", True)
    axes[1].set_title("step by step")
    if any(bands):
        style.step_axis(axes[1], np.concatenate([band.x for band in bands if band]), width)
        line_legend(figure, [axes[1]])
    return Drawing(figure, left_out)


def kprime(lines: Sequence[Line]) -> Drawing:
    """Share of groups with each K', over all steps; intervals over seeds."""
    counts = [[kprime_counts(run) for run in line.seeds] for line in lines]
    left_out = [
        f"*{line.label}*: no `care/kprime/hist_k`"
        for line, own in zip(lines, counts, strict=True)
        if not all(one.sum() for one in own)
    ]
    shown = [place for place, own in enumerate(counts) if all(one.sum() for one in own)]
    if not shown:
        return Drawing(None, left_out)
    width = max(len(one) for place in shown for one in counts[place])
    figure, ((axes,),) = style.panels(1, 1)
    bar = 0.8 / len(shown)
    for offset, place in enumerate(shown):
        shares = [np.pad(one, (0, width - len(one))) / one.sum() for one in counts[place]]
        mean, half = mean_and_half(np.stack(shares))
        x = np.arange(width) + (offset - (len(shown) - 1) / 2) * bar
        axes.bar(x, mean, bar, label=lines[place].label, **style.fill(place))
        if len(shares) > 1:
            axes.errorbar(x, mean, half, fmt="none", color="black", capsize=3)
    axes.set_xticks(range(width))
    axes.set_xlabel("K′, hard negatives of the group")
    axes.set_ylim(bottom=0)
    finish(axes, "share of groups", True)
    line_legend(figure, [axes])
    return Drawing(figure, left_out)


def _rgr_name(line: Line) -> str:
    """The label, with RGR's mode unless it says so itself."""
    mode = line.seeds[0].setting("algorithm.care.rgr.mode")
    known = mode is None or "rgr.mode" in line.label
    return line.label if known else f"{line.label} (mode {mode})"
