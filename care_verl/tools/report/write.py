"""Drawing all figures of some lines and writing them with the summary into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from care_verl.common.files import write_text
from care_verl.tools.report import style
from care_verl.tools.report.figures import PLOTS, Plot
from care_verl.tools.report.lines import Line
from care_verl.tools.report.summary import page

SUMMARY = "summary.md"


@dataclass(frozen=True)
class Written:
    """Paths of the summary and of the PNG of each figure; `left_out`: titles not drawn, and why."""

    summary: Path
    figures: dict[str, Path]
    left_out: dict[str, list[str]]


def write_report(
    lines: Sequence[Line], out: Path, progress: Callable[[str], None] = lambda _: None
) -> Written:
    """Write every figure that the lines have data for, as PNG and SVG, and `summary.md`.

    Files of a figure that is not drawn, from an earlier report, are removed: what lies beside the
    summary is what it describes.
    """
    out.mkdir(parents=True, exist_ok=True)
    drawn: list[Plot] = []
    figures, lacking, left_out = {}, {}, {}
    with style.applied():
        for plot in PLOTS:
            progress(plot.title)
            drawing = plot.draw(lines)
            if drawing.left_out:
                lacking[plot.title] = drawing.left_out
            if drawing.figure is None:
                left_out[plot.title] = drawing.left_out
                for suffix in ("png", "svg"):
                    (out / f"{plot.name}.{suffix}").unlink(missing_ok=True)
                continue
            figures[plot.title], _ = style.save(drawing.figure, out, plot.name)
            drawn.append(plot)
    write_text(out / SUMMARY, page(lines, [(plot.name, plot.title) for plot in drawn], lacking))
    return Written(out / SUMMARY, figures, left_out)
