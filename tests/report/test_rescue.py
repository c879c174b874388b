"""What followed all-wrong groups, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from care_verl.tools.report.groups import Groups
from care_verl.tools.report.lines import Line
from care_verl.tools.report.rescue import effects, gains, horizon, paired, when_again
from care_verl.tools.report.runs import Run
from care_verl.tools.report.series import ACCURACY, ALL_WRONG, KL, RESCUED

from .test_groups import groups_of, row, table_of


def run_of(accuracy: list[float], wrong: list[int], rescue: bool) -> Run:
    """One step each; KL grows by 0.1 a step."""
    metrics = {
        step: {ACCURACY: a, ALL_WRONG: float(w), RESCUED: float(w * rescue), KL: 0.1 * step}
        for step, (a, w) in enumerate(zip(accuracy, wrong, strict=True), 1)
    }
    return Run(Path(), metrics, None, {}, {})


def test_gains_where_both_ends_are_known() -> None:
    run = run_of([0.1, 0.2, 0.5, 0.4], [1, 0, 1, 1], True)
    found = gains(run, np.array([1, 3, 4]), 2, ACCURACY)
    assert found.steps.tolist() == [1]
    assert found.values.tolist() == [pytest.approx(0.4)]


def test_the_horizon_is_fifty_steps_or_half_of_a_short_run() -> None:
    assert horizon([run_of([0.0] * 300, [0] * 300, True)]) == 50
    assert horizon([run_of([0.0] * 9, [0] * 9, True), run_of([0.0] * 30, [0] * 30, True)]) == 4
    assert horizon([run_of([0.0], [0], True)]) == 1


def test_with_and_without_are_compared_at_shared_steps() -> None:
    """B = 2. Steps 1 and 2 are triggered in both, 3 with rescue only. With: +0.4, +0.2; without:
    +0.1, +0.1."""
    rescue = Line("on", (run_of([0.1, 0.2, 0.5, 0.4], [1, 1, 1, 0], True),))
    off = Line("off", (run_of([0.1, 0.2, 0.2, 0.3], [1, 1, 0, 0], False),))
    found = paired([rescue, off])
    assert found is not None
    assert found.steps.tolist() == [1, 2]
    assert found.values == pytest.approx([0.3, 0.1])
    on_effect, off_effect = effects([rescue, off])
    assert on_effect.accuracy == pytest.approx([0.4, 0.2])
    assert off_effect.accuracy == pytest.approx([0.1, 0.1])
    assert on_effect.kl == pytest.approx([0.1, 0.1])


def test_one_side_alone_is_not_compared() -> None:
    line = Line("on", (run_of([0.1, 0.2, 0.5, 0.4], [1, 1, 1, 0], True),))
    assert paired([line]) is None
    (effect,) = effects([line])
    assert effect.accuracy == pytest.approx([0.4, 0.2])
    assert effects([Line("none", (run_of([0.1, 0.2], [0, 0], True),))]) == []


def test_all_wrong_prompts_when_they_come_again() -> None:
    """x is all wrong in step 1, half right in step 4, when it is no longer all wrong; y is right
    first; z never comes again."""
    wrong = {"kind": "all_wrong"}
    steps = {
        1: [
            row("a", 0, "outside", index="x", **wrong),
            row("b", 1, "outside", index="y"),
            row("c", 0, "outside", index="z", **wrong),
        ],
        4: [
            row("a", 0, "outside", index="x"),
            row("a", 1, "outside", index="x"),
            row("b", 0, "outside", index="y", **wrong),
        ],
        5: [row("a", 1, "outside", index="x")],
    }
    groups = Groups.joined([groups_of(table_of(rows), step) for step, rows in steps.items()])
    assert when_again(Run(Path(), {}, groups, {}, {})).tolist() == [0.5]
