"""Figures are drawn for what is there, legible in grey, and the same bytes each time.

Whether they look good only eyes can tell.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from care_verl.tools.report import style
from care_verl.tools.report.figures import PLOTS, Plot
from care_verl.tools.report.lines import Line, lines_of
from care_verl.tools.report.runs import Run, load_run
from tests.records.samples import write_consistency_run

from .samples import write_graded_run

ALWAYS_DRAWN = {"progress", "kl", "times"}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    """Three seeds with rescue and two without; prompts come again. And a run of GRPO-CARE."""
    folder = tmp_path_factory.mktemp("runs")
    paths = [write_graded_run(folder / f"on{i}", 6, 12, i, prompts=30) for i in range(3)]
    off = {"rescue": False}
    paths += [write_graded_run(folder / f"off{i}", 5, 12, 9 + i, off, prompts=30) for i in range(2)]
    write_consistency_run(folder / "consistency" / "records")
    paths.append(folder / "consistency")
    return lines_of([load_run(path) for path in paths], [])


DRAWN_FOR_GRPO_CARE = {
    *("progress", "failure_share", "groups", "rationale", "consistency", "times"),
}


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_a_run_of_grpo_care_has_the_figures_that_make_sense(plot: Plot, lines: list[Line]) -> None:
    """Alone, and the others say why they are left out."""
    alone = [line for line in lines if line.label == "grpo_care"]
    with style.applied():
        drawing = plot.draw(alone)
    assert (drawing.figure is not None) == (plot.name in DRAWN_FOR_GRPO_CARE)
    assert drawing.figure is not None or "*grpo_care*: no " in drawing.left_out[0]


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_every_figure_is_drawn_twice_alike(plot: Plot, lines: list[Line], tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        with style.applied():
            drawing = plot.draw(lines)
            assert drawing.figure is not None
            written.append([p.read_bytes() for p in style.save(drawing.figure, folder, plot.name)])
    assert written[0] == written[1]
    png, svg = written[0]
    assert png.startswith(b"\x89PNG")
    text = svg.decode()
    assert "<text" in text
    assert "dc:date" not in text
    assert str(tmp_path) not in text
    assert not re.search(r"20\d\d-\d\d-\d\d", text)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_a_run_with_little_gets_a_reason_in_place_of_a_figure(plot: Plot) -> None:
    """One step with a few metrics that every estimator has."""
    metrics = {"critic/rewards/mean": 0.5, "actor/kl_loss": 0.1, "timing_s/step": 3.0}
    line = Line("grpo", (Run(Path("grpo"), {1: metrics}, None, {}, {}),))
    with style.applied():
        drawing = plot.draw([line])
    assert (drawing.figure is not None) == (plot.name in ALWAYS_DRAWN)
    if drawing.figure is None:
        assert drawing.left_out
        assert all("*grpo*" in reason for reason in drawing.left_out)


def test_lines_differ_without_colour() -> None:
    looks = [style.look(place) for place in range(42)]
    assert len({(str(look.linestyle), look.marker) for look in looks}) == 42


def test_areas_differ_without_colour() -> None:
    """Hatch or lightness (ITU-R BT.601) tells any two of a stack apart."""
    fills = [style.fill(place) for place in range(11)]
    for place, one in enumerate(fills):
        for other in fills[:place]:
            lightness = abs(_lightness(one["facecolor"]) - _lightness(other["facecolor"]))
            assert one["hatch"] != other["hatch"] or lightness > 0.15


def _lightness(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_what_a_line_lacks_is_told(lines: list[Line]) -> None:
    bare = Line("grpo", (Run(Path("grpo"), {1: {"critic/rewards/mean": 0.5}}, None, {}, {}),))
    with style.applied():
        for plot in PLOTS:
            drawing = plot.draw([*lines, bare])
            assert drawing.figure is not None
            assert any("*grpo*" in reason for reason in drawing.left_out), plot.name
