"""The figure of an evaluation: accuracy by benchmark, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from care_verl.tools.evaluation.benchmarks import BENCHMARKS
from care_verl.tools.evaluation.lines import Line
from care_verl.tools.evaluation.paper import PaperRow
from care_verl.tools.evaluation.statistics import Interval
from care_verl.tools.report import style

_FEWEST = 4


def draw(lines: Sequence[Line], paper: Sequence[PaperRow], folder: Path, name: str) -> list[Path]:
    """Write NAME.png and NAME.svg; their paths."""
    names = lines[0].benchmarks
    several = bool(lines[0].averaged)
    with style.applied():
        figure, ((axes,),) = style.panels(1, 1, height=3.0)
        width = 0.8 / len(lines)
        for place, line in enumerate(lines):
            macro = line.macro()
            found = [*(line.accuracy(each) for each in names), *([macro] if macro else [])]
            centre = np.arange(len(found)) + (place - (len(lines) - 1) / 2) * width
            _bars(axes, centre, found, width, line.label, place)
        _paper(axes, paper, names)
        axes.set_xticks(range(len(names) + several))
        labels = [style.wrapped(BENCHMARKS[each].title, 11) for each in names]
        axes.set_xticklabels([*labels, *(["macro"] if several else [])])
        # Few benchmarks would have bars as wide as the page.
        margin = max(0.6, (_FEWEST - len(labels)) / 2)
        axes.set_xlim(-margin, len(names) + several - 1 + margin)
        axes.set_ylabel("accuracy")
        axes.set_ylim(bottom=0)
        axes.grid(axis="x", visible=False)
        style.percent(axes)
        style.legend(figure, *axes.get_legend_handles_labels())
        return list(style.save(figure, folder, name))


def _bars(
    axes: Axes, centre: Any, found: Sequence[Interval], width: float, label: str, place: int
) -> None:
    means = np.array([one.mean for one in found])
    axes.bar(centre, means, width, label=label, **style.fill(place))
    ends = np.array([[one.mean - one.low, one.high - one.mean] for one in found]).T
    # Rounding may leave an end on the wrong side of 0 or 1; a single seed has none.
    ends = np.maximum(np.nan_to_num(ends), 0.0)
    axes.errorbar(centre, means, ends, fmt="none", color="black", capsize=3)


def _paper(axes: Axes, paper: Sequence[PaperRow], names: Sequence[str]) -> None:
    """Markers across the bars, side by side. Table 2 repeats rows of Table 1: drawn once."""
    once = {tuple(row.accuracy.items()): row for row in reversed(paper)}
    rows = [row for row in paper if row in once.values()]
    for place, row in enumerate(rows):
        shift = 0.7 * ((place + 0.5) / len(rows) - 0.5)
        known = [
            (x + shift, row.accuracy[name]) for x, name in enumerate(names) if name in row.accuracy
        ]
        if not known:
            continue
        axes.plot(
            *zip(*known, strict=True),
            linestyle="none",
            marker=style.look(place).marker,
            color="black",
            markerfacecolor="white",
            label=f"paper: {row.name} (Table {row.table})",
        )
