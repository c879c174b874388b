"""One look for all figures: for print, in grey, and for colour-blind eyes; equal bytes each time.

Lines differ in colour, dash and marker, areas and bars in lightness and hatch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

WIDTH = 7.2
"""Inches; a page's text width."""

# Okabe and Ito's palette, in an order whose neighbours differ in lightness.
_COLOURS = ("#0072B2", "#D55E00", "#000000", "#56B4E9", "#CC79A7", "#009E73", "#E69F00")
_DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_SIGNS = "●■▲◆▼✚✖"
THEORY: dict[str, Any] = {"color": "0.45", "linestyle": (0, (1, 1)), "linewidth": 1.0, "zorder": 1}

_FILLS = (
    *("#0072B2", "#E69F00", "#56B4E9", "#CC79A7", "#BBBBBB", "#D55E00", "#F0E442", "#009E73"),
    *("#888888", "#E0E0FF", "#FFFFFF"),
)
_HATCHES = ("", "///", "...", "\\\\\\", "", "xxx", "---", "++", "|||", "ooo", "")

_SHOWN_MARKERS = 12
_LEGEND_LETTERS = 100
_POINTS = 60

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "care-verl",
}


@contextmanager
def applied() -> Iterator[None]:
    """The style, for drawing and for saving."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        yield


@dataclass(frozen=True)
class Look:
    """How one label looks in every figure; `sign` stands for its marker in a text."""

    color: str
    linestyle: Any
    marker: str
    sign: str

    def line(self, points: int) -> dict[str, Any]:
        """Arguments of a line through so many points; markers on some of them only."""
        every = max(1, -(-points // _SHOWN_MARKERS))
        return {
            "color": self.color,
            "linestyle": self.linestyle,
            "marker": self.marker,
            "markevery": every,
        }


def look(place: int) -> Look:
    """The look of the label at a place; no two of the first 42 share dash and marker."""
    return Look(
        _COLOURS[place % len(_COLOURS)],
        _DASHES[place % len(_DASHES)],
        _MARKERS[place % len(_MARKERS)],
        _SIGNS[place % len(_SIGNS)],
    )


def fill(place: int) -> dict[str, Any]:
    """Arguments of an area or a bar."""
    return {
        "facecolor": _FILLS[place % len(_FILLS)],
        "hatch": _HATCHES[place % len(_HATCHES)],
        "edgecolor": "black",
        "linewidth": 0.5,
    }


def panels(rows: int, columns: int, height: float = 2.5) -> tuple[Figure, Any]:
    """A figure of the page's width; axes [rows, columns], `height` inches a row."""
    figure = Figure(figsize=(WIDTH, height * rows + 0.4), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """One legend above all panels, in as many columns as fit."""
    columns = max(1, min(len(labels), _LEGEND_LETTERS // (8 + max(map(len, labels)))))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns)


def wrapped(label: str, letters: int) -> str:
    """A label in lines of at most so many letters, where it has spaces."""
    return "\n".join(wrap(label, letters, break_long_words=False))


def percent(axes: Axes) -> None:
    """Shares in per cent on the y axis; an interval's ends beyond 0 and 1 are no shares."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def bin_width(steps: np.ndarray) -> int:
    """Over how many steps to average, so that a line has about 60 points at most."""
    return 1 if len(steps) <= _POINTS else -(-int(steps.max()) // _POINTS)


def step_axis(axes: Axes, steps: np.ndarray, width: int) -> None:
    """Whole steps on the x axis; room around a single one; says over how many the means are."""
    axes.set_xlabel("training step" if width == 1 else f"training step (means over {width})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    low, high = float(np.min(steps)), float(np.max(steps))
    margin = max(0.5, 0.03 * (high - low))
    axes.set_xlim(low - margin, high + margin)


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write NAME.png (150 dpi) and NAME.svg, text as text, without date or version."""
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, dpi=150, metadata={"Software": None})
    figure.savefig(svg, metadata={"Date": None, "Creator": None, "Title": name})
    return png, svg
