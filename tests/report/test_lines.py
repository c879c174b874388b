"""Which runs are seeds of one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from care_verl.tools.report.lines import Line, default_labels, lines_of, notes_on
from care_verl.tools.report.runs import ReportError, Run


def run_of(name: str, care: dict[str, Any] | None, seed: int = 0, **more: Any) -> Run:
    algorithm = {"algorithm": {"adv_estimator": "care", "care": care}}
    config = {} if care is None else {**algorithm, **more}
    return Run(Path(name), {1: {}}, None, config, {"data.seed": seed} if config else {})


def test_runs_of_equal_settings_are_seeds() -> None:
    runs = [
        run_of("a", {"K": 4, "seed": 1, "rgr": {"mode": "cue", "context": "in_think"}}),
        run_of("b", {"K": 4, "seed": 2, "rgr": {"mode": "off", "context": "in_think"}}),
        run_of("c", {"K": 4, "seed": 3, "rgr": {"mode": "cue", "context": "in_think"}}),
    ]
    lines = lines_of(runs, [])
    assert [line.label for line in lines] == ["care K=4 rgr.mode=cue", "care K=4 rgr.mode=off"]
    assert [run.path.name for run in lines[0].seeds] == ["a", "c"]


def test_long_settings_are_told_apart() -> None:
    """Two cues that begin alike do not make seeds of one line."""
    cues = ["Look at the chart again.", "Look at the chart again, slowly."]
    labels = default_labels([run_of(cue, {"K": 4, "rgr": {"cue": cue}}) for cue in cues])
    assert len(set(labels)) == 2
    assert all(len(label) < 50 for label in labels)


def test_one_run_is_called_by_its_method() -> None:
    assert default_labels([run_of("a", {"K": 6, "s": 0.5})]) == ["care K=6"]


def test_runs_of_each_method_differ_by_its_own_settings() -> None:
    """A recipe may set CARE's beside another estimator's."""

    def consistent(name: str, margin: float) -> Run:
        algorithm = {
            "adv_estimator": "grpo_care",
            "care": {"K": 2},
            "grpo_care": {"margin": margin},
        }
        return Run(Path(name), {1: {}}, None, {"algorithm": algorithm}, {})

    runs = [run_of("a", {"K": 4}), consistent("b", 0.0), consistent("c", 0.01)]
    labels = default_labels(runs)
    assert labels == ["care K=4", "grpo_care margin=0.0", "grpo_care margin=0.01"]
    assert default_labels(runs[:2]) == ["care K=4", "grpo_care"]


def test_without_a_configuration_the_folder_is_the_name() -> None:
    assert default_labels([run_of("out/grpo-1", None)]) == ["grpo-1"]
    assert default_labels([run_of("out/grpo-1/metrics.jsonl", None)]) == ["grpo-1"]


def test_names() -> None:
    runs = [run_of(name, None) for name in "abc"]
    assert [len(line.seeds) for line in lines_of(runs, ["x", "y", "x"])] == [2, 1]
    with pytest.raises(ReportError, match="2 names for 3 runs"):
        lines_of(runs, ["x", "y"])


def test_doubtful_seeds_are_told() -> None:
    runs = (
        run_of("a", {"K": 4}, seed=1, trainer={"experiment_name": "a"}, data={"seed": 1}),
        run_of("b", {"K": 4}, seed=1, trainer={"experiment_name": "b"}, data={"seed": 2}),
    )
    (note,) = notes_on(Line("x", runs))
    assert "2 runs of *x* have the same seeds" in note
    runs = (
        run_of("a", {"K": 4}, seed=1, optim={"lr": 1}),
        Run(Path("b"), {1: {}, 9: {}}, None, {"optim": {"lr": 2}}, {}),
    )
    different, ends = notes_on(Line("x", runs))
    assert "optim.lr" in different
    assert "steps 1, 9" in ends
