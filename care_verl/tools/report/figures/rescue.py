"""What followed all-wrong groups (Figure 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from care_verl.tools.report import style
from care_verl.tools.report.figures.drawing import Drawing
from care_verl.tools.report.lines import Line
from care_verl.tools.report.rescue import Effect, effects, horizon, rescues
from care_verl.tools.report.series import ALL_WRONG, metric
from care_verl.tools.statistics import Floats, estimate


def draw(lines: Sequence[Line]) -> Drawing:
    """Box plots over triggered steps of the gains in accuracy and KL; all-wrong prompts again."""
    found = effects(lines)
    labels = {effect.label for effect in found}
    left_out = [f"*{line.label}*: {_lacking(line)}" for line in lines if line.label not in labels]
    if not found:
        return Drawing(None, left_out)
    ahead = horizon([run for line in lines for run in line.seeds])
    sides = {rescues(run) for line in lines if line.label in labels for run in line.seeds}
    if len(sides) == 1:
        left_out.append(
            "rescue's effect against its absence: it takes a run with and one without rescue "
            "(`algorithm.care.rescue=False`)"
        )
    figure, (axes,) = style.panels(1, 3, height=2.6)
    places = {line.label: place for place, line in enumerate(lines)}
    _boxes(axes[0], [100 * effect.accuracy for effect in found], found, places)
    axes[0].set(title=f"ΔAcc@{ahead} of rollouts", ylabel="points")
    _boxes(axes[1], [effect.kl for effect in found], found, places)
    axes[1].set(title="ΔKL of the next step", ylabel="KL per token")
    _again(axes[2], found, places)
    if not any(len(effect.again) for effect in found):
        left_out.append("all-wrong prompts when they come again: none did in the recorded steps")
    style.legend(figure, axes[0].patches, [effect.label for effect in found])
    return Drawing(figure, left_out)


def _lacking(line: Line) -> str:
    known = any(metric(ALL_WRONG)(run) for run in line.seeds)
    return "no step with an all-wrong group" if known else f"no `{ALL_WRONG}`"


def _boxes(axes: Axes, values: list[Floats], found: list[Effect], places: dict[str, int]) -> None:
    known = [one if len(one) else np.array([np.nan]) for one in values]
    drawn = axes.boxplot(known, widths=0.5, patch_artist=True, medianprops={"color": "black"})
    for box, effect in zip(drawn["boxes"], found, strict=True):
        box.set(**style.fill(places[effect.label]))
    axes.axhline(0, **style.THEORY)
    axes.set_xticks(range(1, len(values) + 1), [str(len(one)) for one in values])
    axes.set_xlabel("triggered steps")


def _again(axes: Axes, found: list[Effect], places: dict[str, int]) -> None:
    axes.set(title="all-wrong prompts again", ylabel="right", ylim=(0, 1))
    style.percent(axes)
    counts = [len(effect.again) for effect in found]
    for x, effect in enumerate(found, 1):
        if len(effect.again):
            mean = estimate(effect.again)
            axes.bar(x, mean.mean, 0.5, **style.fill(places[effect.label]))
            axes.errorbar(x, mean.mean, np.nan_to_num(mean.half), color="black", capsize=3)
    axes.set_xticks(range(1, len(found) + 1), list(map(str, counts)))
    axes.set_xlabel("prompts")
    axes.set_xlim(0.4, len(found) + 0.6)
