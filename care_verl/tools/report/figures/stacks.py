"""Parts of a whole over steps, one panel a label: group kinds, seconds of the stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from care_verl.tools.report import style
from care_verl.tools.report.bands import binned, over_steps
from care_verl.tools.report.figures.drawing import Drawing
from care_verl.tools.report.lines import Line
from care_verl.tools.report.runs import Run
from care_verl.tools.report.series import (
    GROUP_KINDS,
    STAGES,
    STEP_SECONDS,
    Series,
    group_share,
    stage_series,
)
from care_verl.tools.statistics import Floats

Part = Callable[[Run, int], Series]
"""One part of the whole in each step, by its place."""

_COLUMNS = 2
_OUTLIER = 2.0


def group_kinds(lines: Sequence[Line]) -> Drawing:
    """Shares of the kinds of groups."""
    source = "`care/groups/…`, nor recorded rows"
    return _stacked(lines, group_share, GROUP_KINDS, "share of groups", source)


def times(lines: Sequence[Line]) -> Drawing:
    """Seconds of a step by stage."""
    names = (*STAGES, "other")
    return _stacked(lines, stage_series, names, "seconds a step", f"`{STEP_SECONDS}`")


def _stacked(
    lines: Sequence[Line],
    part: Part,
    names: Sequence[str],
    unit: str,
    source: str,
) -> Drawing:
    width = max(style.bin_width(np.array([*run.metrics])) for line in lines for run in line.seeds)
    means = [_means(line, part, len(names), width) for line in lines]
    found = [(line, mean) for line, mean in zip(lines, means, strict=True) if mean is not None]
    left_out = [
        f"*{line.label}*: no {source}"
        for line, mean in zip(lines, means, strict=True)
        if mean is None
    ]
    if not found:
        return Drawing(None, left_out)
    used = [i for i in range(len(names)) if any(values[i].any() for _, (_, values) in found)]
    columns = min(_COLUMNS, len(found))
    figure, axes = style.panels(-(-len(found) // columns), columns, height=2.6)
    for own in axes.flat[len(found) :]:
        own.remove()
    for own, (line, (steps, values)) in zip(axes.flat, found, strict=False):
        _draw(own, steps, {names[place]: (place, values[place]) for place in used}, width)
        own.set_title(style.wrapped(line.name, 70 // columns))
        own.set_ylabel(unit)
        if unit.startswith("share"):
            style.percent(own)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", handlelength=1.6)
    return Drawing(figure, left_out)


def _means(line: Line, part: Part, count: int, width: int) -> tuple[Floats, Floats] | None:
    """Steps [T] and means over seeds [count, T]."""
    bands = [over_steps([binned(part(run, i), width) for run in line.seeds]) for i in range(count)]
    known = [band for band in bands if band is not None]
    return (known[0].x, np.stack([band.mean for band in known])) if known else None


def _draw(axes: Axes, steps: Floats, parts: Mapping[str, tuple[int, Floats]], width: int) -> None:
    """Areas between half a step before and half a step after, so that one step has a width."""
    edges = np.append(steps - width / 2, steps[-1] + width / 2)
    floor = np.zeros(len(steps))
    for name, (place, part) in parts.items():
        axes.stairs(floor + part, edges, baseline=floor, fill=True, label=name, **style.fill(place))
        floor = floor + part
    style.step_axis(axes, steps, width)
    axes.set_xlim(edges[0], edges[-1])
    axes.grid(False)
    _limit(axes, floor)


def _limit(axes: Axes, height: Floats) -> None:
    """Leave a beginning that is far above all others out of the scale, and say so."""
    others = float(height[1:].max()) if len(height) > 2 else float(height.max())
    if height[0] <= _OUTLIER * others:
        axes.set_ylim(0, 1.03 * float(height.max()) or 1.0)
        return
    axes.set_ylim(0, 1.15 * others)
    axes.annotate(
        f"at first {height[0]:.0f} s",
        xy=(0.02, 0.97),
        xycoords="axes fraction",
        va="top",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
