"""Reward and accuracy against steps and against decoded tokens (Figures 3, 8 and 9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import EngFormatter

from care_verl.tools.report import style
from care_verl.tools.report.bands import Band, over_steps, over_tokens
from care_verl.tools.report.figures.drawing import (
    Drawing,
    Panel,
    draw_bands,
    finish,
    line_legend,
    missing,
    picked,
)
from care_verl.tools.report.lines import Line
from care_verl.tools.report.series import (
    ACCURACY,
    REWARD,
    accuracy,
    decoded_tokens,
    metric,
    validation,
)

ROWS = (
    Panel("reward of rollouts", "mean reward", metric(REWARD), f"`{REWARD}`"),
    Panel("accuracy of rollouts", "right", accuracy, f"`{ACCURACY}`", share=True),
    Panel("validation", "accuracy", validation, "`val-core/…/mean@N`", share=True),
)


def draw(lines: Sequence[Line]) -> Drawing:
    """A row for each of reward, accuracy and validation; against steps, against tokens."""
    labels, left_out, kept = [line.label for line in lines], [], []
    spent = [[decoded_tokens(run) for run in line.seeds] for line in lines]
    for line, tokens in zip(lines, spent, strict=True):
        if not all(one.series for one in tokens):
            left_out.append(f"all against tokens, of *{line.label}*: no `care/tokens/total`")
        filled = sum(one.filled for one in tokens)
        if filled:
            left_out.append(
                f"decoded tokens of {filled} steps of *{line.label}* without metrics are "
                "interpolated between their neighbours"
            )
    for row in ROWS:
        series, width = picked(lines, row.pick)
        by_step = [over_steps(own) for own in series]
        by_tokens = [
            over_tokens(own, [one.series for one in tokens])
            for own, tokens in zip(series, spent, strict=True)
        ]
        left_out += missing(lines, by_step, row.title, row.source)
        if any(by_step):
            kept.append((row, by_step, by_tokens, width))
    if not kept:
        return Drawing(None, left_out)
    figure, axes = style.panels(len(kept), 2, height=2.1)
    for own, (row, by_step, by_tokens, width) in zip(axes, kept, strict=True):
        draw_bands(own[0], by_step, labels)
        draw_bands(own[1], by_tokens, labels)
        _finish_row(own, row, by_step, width)
    axes[-1][1].set_xlabel("decoded tokens")
    line_legend(figure, axes.flat)
    return Drawing(figure, left_out)


def _finish_row(axes: np.ndarray, row: Panel, by_step: Sequence[Band | None], width: int) -> None:
    for own in axes:
        own.set_title(row.title)
        finish(own, row.unit, row.share)
    style.step_axis(axes[0], np.concatenate([band.x for band in by_step if band]), width)
    axes[1].xaxis.set_major_formatter(EngFormatter(sep=""))
    axes[1].set_ylim(axes[0].get_ylim())
    axes[1].set_ylabel("")
