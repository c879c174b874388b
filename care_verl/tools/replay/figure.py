"""The figure of a replay: signal by kind of group, and its share from failures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from care_verl.algorithm.selection import KINDS
from care_verl.tools.replay.comparison import Comparison
from care_verl.tools.replay.report import KIND_NAMES
from care_verl.tools.report import style


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw `replay.png` and `replay.svg` into `folder`; their paths."""
    with style.applied():
        figure, axes = style.panels(1, 2, height=2.8)
        _signal(axes[0, 0], comparison)
        _failures(axes[0, 1], comparison)
        style.legend(figure, *axes[0, 0].get_legend_handles_labels())
        return list(style.save(figure, folder, "replay"))


def _signal(axes: Axes, comparison: Comparison) -> None:
    """Σ|A| a group, stacked by kind."""
    names = [one.name for one in comparison.outcomes]
    groups = sum(comparison.groups.values())
    base = np.zeros(len(names))
    for place, kind in enumerate(KINDS):
        height = np.array([one.signal[kind] for one in comparison.outcomes]) / groups
        axes.bar(
            names, height, bottom=base, label=f"{KIND_NAMES[kind]} groups", **style.fill(place)
        )
        base += height
    axes.set_ylim(0, 1.08 * float(base.max()) or 1.0)
    axes.set_ylabel("Σ|A| a group")
    axes.grid(axis="x", visible=False)


def _failures(axes: Axes, comparison: Comparison) -> None:
    """Share of Σ|A| from failures; no bar where there is no signal at all."""
    names = [one.name for one in comparison.outcomes]
    shares = [one.failure_share for one in comparison.outcomes]
    bars = axes.bar(names, [share or 0.0 for share in shares], **style.fill(len(KINDS)))
    axes.bar_label(bars, ["–" if share is None else f"{share:.0%}" for share in shares], padding=2)
    axes.set_ylabel("share of Σ|A| from failures")
    style.percent(axes)
    axes.set_ylim(0, 1.1)  # Room for the labels.
    axes.grid(axis="x", visible=False)
