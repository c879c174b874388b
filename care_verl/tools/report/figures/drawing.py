"""What a figure's function returns, and the panels that several figures share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from care_verl.tools.report import style
from care_verl.tools.report.bands import Band, binned, over_steps
from care_verl.tools.report.lines import Line
from care_verl.tools.report.series import Pick, Series


@dataclass(frozen=True)
class Drawing:
    """A figure, or None where there is nothing to draw; `left_out` says what is missing and why."""

    figure: Figure | None
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Panel:
    """A series over steps; `source` is where its values come from, for what is left out."""

    title: str
    unit: str
    pick: Pick
    source: str
    share: bool = False


def over_steps_figure(lines: Sequence[Line], wanted: Sequence[Panel]) -> Drawing:
    """Panels side by side, each with those lines that have its series."""
    kept, left_out = [], []
    for panel in wanted:
        series, width = picked(lines, panel.pick)
        bands = [over_steps(own) for own in series]
        left_out += missing(lines, bands, panel.title if len(wanted) > 1 else "", panel.source)
        if any(bands):
            kept.append((panel, bands, width))
    if not kept:
        return Drawing(None, left_out)
    figure, axes = style.panels(1, len(kept))
    for own, (panel, bands, width) in zip(axes[0], kept, strict=True):
        draw_bands(own, bands, [line.label for line in lines])
        finish(own, panel.unit, panel.share)
        own.set_title(panel.title)
        style.step_axis(own, np.concatenate([band.x for band in bands if band]), width)
    line_legend(figure, axes[0])
    return Drawing(figure, left_out)


def picked(lines: Sequence[Line], pick: Pick) -> tuple[list[list[Series]], int]:
    """A series of each run of each line, in means over so many steps that few enough points are
    left to tell lines apart; and that number."""
    series = [[pick(run) for run in line.seeds] for line in lines]
    width = max(style.bin_width(one.steps) for own in series for one in own)
    return [[binned(one, width) for one in own] for own in series], width


def missing(
    lines: Sequence[Line], bands: Sequence[Band | None], what: str, source: str
) -> list[str]:
    """What is left out for which line; `what` is the panel, empty for the figure's only one."""
    return [
        f"{what and f'{what} of '}*{line.label}*: no {source}"
        f"{' in every one of its runs' if len(line.seeds) > 1 else ''}"
        for line, band in zip(lines, bands, strict=True)
        if band is None
    ]


def draw_bands(axes: Axes, bands: Sequence[Band | None], labels: Sequence[str]) -> None:
    """Means as lines, 95 % intervals over seeds as bands; a label's place sets its look."""
    for place, (band, label) in enumerate(zip(bands, labels, strict=True)):
        if band is None:
            continue
        look = style.look(place)
        name = label if band.seeds == 1 else f"{label} ({band.seeds} seeds)"
        axes.plot(band.x, band.mean, label=name, **look.line(len(band.x)))
        if band.seeds > 1:
            low, high = band.mean - band.half, band.mean + band.half
            axes.fill_between(band.x, low, high, color=look.color, alpha=0.18, linewidth=0)
    _limit(axes, [band for band in bands if band is not None])


def _limit(axes: Axes, bands: Sequence[Band]) -> None:
    """Keep the means readable: a wide band may leave the panel."""
    if not bands:
        return
    means = np.concatenate([band.mean for band in bands])
    halves = np.concatenate([np.nan_to_num(band.half) for band in bands])
    low, high = means.min(), means.max()
    room = (high - low) or max(abs(high), 1e-9) / 2
    bottom = max((means - halves).min(), low - room)
    top = min((means + halves).max(), high + room)
    if low >= 0:
        bottom = max(bottom, 0.0)
    axes.set_ylim(bottom - 0.06 * room, top + 0.06 * room)


def line_legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """A legend of the lines that are in any of the panels."""
    entries: dict[str, Artist] = {}
    for own in axes:
        handles, labels = own.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    style.legend(figure, list(entries.values()), list(entries))


def finish(axes: Axes, unit: str, share: bool) -> None:
    """The y axis."""
    axes.set_ylabel(unit)
    if share:
        style.percent(axes)
