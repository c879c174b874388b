"""The demo's last table, by hand.

What the numbers of a real run are is not tested here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from care_verl.tools.demo.evaluate import ERRORS, GREEDY, SAMPLED, Evaluation
from care_verl.tools.demo.run_log import RunLog
from care_verl.tools.demo.summary import Summary
from care_verl.tools.evaluation.answers import Answer, write_answers
from care_verl.tools.evaluation.lines import OtherQuestionsError
from tests.evaluation.samples import answers


def sampled(right: list[int], of: int = 4) -> list[Answer]:
    """So many right answers of four to each chart."""
    verdicts = [float(place < count) for count in right for place in range(of)]
    return [
        replace(answer, row=place // of, doc_id=f"q{place // of}", sample=place % of)
        for place, answer in enumerate(answers(verdicts))
    ]


BEFORE = Evaluation.of(
    "before", sampled([0, 2, 1, 1]), answers([0, 1, 0, 0]), {"reading": 3, "arithmetic": 1}
)
AFTER = Evaluation.of("after", sampled([2, 4, 3, 3]), answers([1, 1, 1, 0]), {})
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
    gain = summary(STEP_1).gain.benchmarks["embedded"]
    assert (gain.interval.mean, gain.interval.half) == (0.5, 0.0)


def test_gain_refuses_other_charts() -> None:
    fewer = Evaluation.of("before", sampled([0]), answers([0]), {})
    with pytest.raises(OtherQuestionsError, match="not asked the same questions"):
        _ = summary(STEP_1, before=fewer).gain


def test_accuracy_table() -> None:
    """Charts at 0, 1/2, 1/4, 1/4: sd √(1/24), half t(3)·sd/2 = 3.1824·0.1021 = 0.3248."""
    accuracy, _, _ = summary(STEP_1).tables()
    assert accuracy.title == "Accuracy on 4 held-out charts"
    assert cells(accuracy) == [
        ["mean@8, T=1", "25.0% ± 32.5%", "75.0% ± 32.5%"],
        ["pass@8", "75.0%", "100.0%"],
        ["greedy", "25.0%", "75.0%"],
        ["wrong: arithmetic", "25% of 4", "-"],
        ["wrong: reading", "75% of 4", "-"],
        ["gain in mean@8", "", "+50.0 ± 0.0 points"],
    ]


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    """As the demo reads what the process that decodes has left."""
    write_answers(sampled([0, 2, 1, 1]), tmp_path / SAMPLED)
    write_answers(answers([0, 1, 0, 0]), tmp_path / GREEDY)
    (tmp_path / ERRORS).write_text('{"reading": 3, "arithmetic": 1}')
    assert Evaluation.load("before", tmp_path) == BEFORE


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
