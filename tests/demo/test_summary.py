"""The demo's last table and its confidence interval, by hand.

What the numbers of a real run are is not tested here.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from care_verl.demo.evaluate import Evaluation, interval
from care_verl.demo.run_log import RunLog
from care_verl.demo.summary import Summary


def test_interval_by_hand() -> None:
    """Mean 0.5; squares 0.25 + 0.25 + 0 + 0 over 3 = 1/6; 1.96·sqrt(1/24) = 0.400083."""
    assert interval([0.0, 1.0, 0.5, 0.5]) == pytest.approx((0.5, 0.400083), abs=1e-6)


def test_equal_values_have_no_width() -> None:
    assert interval([0.25, 0.25]) == (0.25, 0.0)


def test_one_value_has_no_interval() -> None:
    mean, half_width = interval([0.75])
    assert mean == 0.75
    assert math.isnan(half_width)


BEFORE = Evaluation(
    mean=0.25,
    half_width=0.1,
    pass_at_n=0.5,
    greedy=0.375,
    errors={"reading": 3, "arithmetic": 1},
    per_chart=[0.0, 0.5, 0.25, 0.25],
)
AFTER = Evaluation(
    mean=0.75, half_width=0.05, pass_at_n=1.0, greedy=0.8, errors={}, per_chart=[0.5, 1, 0.75, 0.75]
)
STEP_1 = {
    "care/rows/total": 18.0,
    "care/rows/updated": 6.0,
    "care/rgr/triggered": 2.0,
    "care/rgr/succeeded": 1.0,
    "care/groups/rescued": 1.0,
    "care/signal/failure_share": 0.5,
    "timing_s/gen": 2.0,
    "timing_s/step": 4.0,
}
STEP_2 = {
    **STEP_1,
    "care/rows/total": 22.0,
    "care/rows/updated": 4.0,
    "care/signal/failure_share": 0.7,
    "timing_s/gen": 3.0,
}


def summary(*steps: dict[str, float], before: Evaluation = BEFORE) -> Summary:
    validation = (0, {"val/acc": 0.1})
    log = RunLog(Path("unused"), [validation, *enumerate(steps, start=1)])
    return Summary(before, AFTER, log, Path("/runs/actor"), {"report": Path("/runs/summary.md")})


def cells(table: Table) -> list[list[Any]]:
    """Rows of a table as text."""
    columns = [list(column.cells) for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def test_gain_is_paired_by_chart() -> None:
    """Every chart gained one half: no spread, although the charts themselves differ."""
    assert summary(STEP_1).gain == (0.5, 0.0)


def test_gain_refuses_other_charts() -> None:
    fewer = Evaluation(**{**vars(BEFORE), "per_chart": [0.0]})
    with pytest.raises(ValueError, match="shorter|longer"):
        _ = summary(STEP_1, before=fewer).gain


def test_accuracy_table() -> None:
    accuracy, _, _ = summary(STEP_1).tables()
    assert accuracy.title == "Accuracy on 4 held-out charts"
    assert cells(accuracy) == [
        ["mean@8, T=1", "25.0% ± 10.0%", "75.0% ± 5.0%"],
        ["pass@8", "50.0%", "100.0%"],
        ["greedy", "37.5%", "80.0%"],
        ["wrong: arithmetic", "25% of 4", "-"],
        ["wrong: reading", "75% of 4", "-"],
        ["gain in mean@8", "", "+50.0 ± 0.0 points"],
    ]


def test_learning_table() -> None:
    """18 + 22 rows, 10 of them updated; two of four reflections succeeded; shares 0.5 and 0.7."""
    _, learning, _ = summary(STEP_1, STEP_2).tables()
    assert cells(learning) == [
        ["training steps", "2"],
        ["rows rolled out", "40"],
        ["rows updated", "10 (25%)"],
        ["RGR triggered", "4"],
        ["RGR succeeded", "2 (50%)"],
        ["all-wrong groups rescued", "2"],
        ["learning signal from failures", "60%"],
        ["checkpoint", "/runs/actor"],
        ["report", "/runs/summary.md"],
    ]


def test_no_reflection_at_all() -> None:
    quiet = {**STEP_1, "care/rgr/triggered": 0.0, "care/rgr/succeeded": 0.0}
    _, learning, _ = summary(quiet).tables()
    assert ["RGR succeeded", "0"] in cells(learning)


def test_times_are_means_over_the_steps_that_have_the_stage() -> None:
    _, _, times = summary(STEP_1, STEP_2).tables()
    assert cells(times) == [["gen", "2.50"], ["step", "4.00"]]


def test_a_baseline_without_care_metrics_has_a_summary_too() -> None:
    """`care-verl demo --estimator grpo` logs no `care/` metrics."""
    tables = list(summary({"critic/score/mean": 0.5, "timing_s/step": 4.0}).tables())
    assert cells(tables[0])[0][0] == "mean@8, T=1"
    assert cells(tables[-1]) == [["step", "4.00"]]
