"""Series and their means over seeds, worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from care_verl.tools.report.bands import binned, over_steps, over_tokens
from care_verl.tools.report.runs import Metrics, Run
from care_verl.tools.report.series import (
    GROUP_KINDS,
    STAGES,
    Series,
    accuracy,
    decoded_tokens,
    failure_share,
    group_share,
    group_shares,
    kprime_counts,
    metric,
    right_length,
    stage_seconds,
    step_tokens,
    validation,
)

from .test_groups import Groups, groups_of, row, table_of


def run_of(metrics: Mapping[int, Metrics]) -> Run:
    return Run(Path("run"), metrics, None, {}, {})


def series(*pairs: tuple[int, float]) -> Series:
    steps, values = zip(*pairs, strict=True)
    return Series(np.array(steps), np.array(values, dtype=float))


def test_a_metric_is_there_where_it_was_logged() -> None:
    found = metric("a")(run_of({1: {"a": 2.0}, 2: {"b": 1.0}, 4: {"a": 3.0}}))
    assert (found.steps.tolist(), found.values.tolist()) == ([1, 4], [2.0, 3.0])


def test_accuracy_is_what_the_runs_method_logs() -> None:
    ours, theirs = run_of({1: {"care/acc/mean": 0.5}}), run_of({1: {"grpo_care/acc/mean": 0.25}})
    assert [accuracy(run).values.tolist() for run in (ours, theirs)] == [[0.5], [0.25]]


def test_the_share_from_failures_is_logged_or_comes_from_the_rows() -> None:
    """Step 1: 1.5 of 2; in step 2 there is no signal."""
    rows = [row("a", 1, "", advantage=0.5), row("a", 0, "", advantage=-1.5)]
    silent = [row("b", 0, "", advantage=0.0)]
    groups = Groups.joined([groups_of(table_of(rows), 1), groups_of(table_of(silent), 2)])
    run = Run(Path("run"), {1: {}, 2: {}}, groups, {}, {})
    found = failure_share(run)
    assert (found.steps.tolist(), found.values.tolist()) == ([1], [0.75])
    logged = Run(Path("run"), {1: {"care/signal/failure_share": 0.4}}, groups, {}, {})
    assert failure_share(logged).values.tolist() == [0.4]
    assert not failure_share(run_of({1: {}}))


def test_decoded_tokens_add_up_and_gaps_are_filled() -> None:
    """Step 3 is missing; its neighbours have 20 and 40, so it counts as 30."""
    tokens = "care/tokens/total"
    found = decoded_tokens(run_of({0: {}, 1: {tokens: 10}, 2: {tokens: 20}, 4: {tokens: 40}}))
    assert found.series.steps.tolist() == [1, 2, 3, 4]
    assert found.series.values.tolist() == [10, 30, 60, 100]
    assert found.filled == 1


def test_tokens_of_another_estimator() -> None:
    """100 rows of 30 + 10 tokens: 4000 in total, 1000 of them responses."""
    names = ("perf/total_num_tokens", "prompt_length/mean", "response_length/mean")
    assert step_tokens(dict(zip(names, (4000.0, 30.0, 10.0), strict=True))) == 1000
    assert step_tokens({"prompt_length/mean": 3.0}) is None


def test_validation_is_the_mean_over_sets() -> None:
    metrics = {
        "val-core/charts/acc/mean@8": 0.2,
        "val-core/a/b/reward/mean@1": 0.6,
        "val-core/charts/acc/best@8/mean": 1.0,
        "val-aux/charts/reward/mean@8": 1.0,
    }
    assert validation(run_of({5: metrics})).values.tolist() == [pytest.approx(0.4)]


def test_group_kinds() -> None:
    names = ("mixed", "all_wrong", "rescued", "all_right")
    counts = dict(zip((f"care/groups/{name}" for name in names), (5, 3, 2, 2), strict=True))
    assert group_shares(counts) == [0.5, 0.2, 0.1, 0.2, 0.0]
    assert group_shares({}) is None
    run = run_of({1: counts})
    assert [group_share(run, i).values.tolist() for i in (1, 4)] == [[0.2], [0.0]]


def test_without_metrics_the_rows_tell_the_kinds() -> None:
    kinds = ("mixed", "mixed", "all_wrong", "all_right")
    rows = [row(str(place), 0, "", kind=kind) for place, kind in enumerate(kinds)]
    run = Run(Path("run"), {3: {}}, groups_of(table_of(rows), 3), {}, {})
    found = {name: group_share(run, place) for place, name in enumerate(GROUP_KINDS)}
    assert {name: one.values.tolist() for name, one in found.items()} == {
        "mixed": [0.5],
        "rescued": [0.0],
        "all wrong, skipped": [0.0],
        "all right": [0.25],
        "all wrong": [0.25],
    }


def test_stage_times_and_what_is_left() -> None:
    seconds = stage_seconds({"timing_s/step": 9.0, "timing_s/gen": 5.0, "timing_s/ref": 1.0})
    assert seconds is not None
    assert dict(zip((*STAGES, "other"), seconds, strict=True)) == {
        **dict.fromkeys(STAGES, 0.0),
        "gen": 5.0,
        "ref": 1.0,
        "other": 3.0,
    }


def test_kprime_over_steps() -> None:
    name = "care/kprime/hist_"
    run = run_of({1: {f"{name}0": 1, f"{name}2": 3}, 2: {f"{name}2": 4}})
    assert kprime_counts(run).tolist() == [1, 0, 7]
    assert len(kprime_counts(run_of({1: {}}))) == 0


def test_length_of_right_rationales() -> None:
    """Two right rows of 3 and 7 tokens in step 1; none in step 2."""
    rows = [row("a", 1, "anchor"), row("b", 1, "anchor", rationale=[0, 7])]
    groups = groups_of(table_of(rows), 1), groups_of(table_of([row("c", 0, "outside")]), 2)
    found = right_length(Run(Path(), {}, type(groups[0]).joined(groups), {}, {}))
    assert (found.steps.tolist(), found.values.tolist()) == ([1], [5.0])


def test_means_over_seeds_where_all_have_the_step() -> None:
    """Step 2: 1 and 3, mean 2, deviation sqrt(2), half width 12.7062."""
    band = over_steps([series((1, 5), (2, 1)), series((2, 3), (3, 9))])
    assert band is not None
    assert (band.x.tolist(), band.mean.tolist(), band.seeds) == ([2.0], [2.0], 2)
    assert band.half[0] == pytest.approx(12.7062)
    assert over_steps([series((1, 5)), series((2, 5))]) is None


def test_against_tokens_one_seed_keeps_its_points() -> None:
    band = over_tokens([series((0, 0.1), (2, 0.5))], [series((1, 100), (2, 250))])
    assert band is not None
    assert (band.x.tolist(), band.mean.tolist()) == ([0.0, 250.0], [0.1, 0.5])


def test_against_tokens_seeds_are_compared_at_equal_budgets() -> None:
    """Seed one is at 100 and 200, seed two at 100 and 300 tokens: compared from 100 to 200, where
    two has come half of its way."""
    values = series((1, 0.0), (2, 1.0))
    band = over_tokens([values, values], [series((1, 100), (2, 200)), series((1, 100), (2, 300))])
    assert band is not None
    assert band.x.tolist() == [100, 200]
    assert band.mean.tolist() == [0.0, pytest.approx(0.75)]


def test_bins_hold_equal_numbers_of_steps() -> None:
    found = binned(series((0, 9), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)), 3)
    assert found.steps.tolist() == [0, 2, 5]
    assert found.values.tolist() == [9, 2, 4.5]
