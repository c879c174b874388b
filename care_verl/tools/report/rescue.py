"""What followed steps and prompts with an all-wrong group (Section 4.3, Figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from care_verl.tools.report.bands import over_steps
from care_verl.tools.report.lines import Line
from care_verl.tools.report.runs import Run
from care_verl.tools.report.series import ACCURACY, ALL_WRONG, KL, RESCUED, Series, metric
from care_verl.tools.statistics import Floats

HORIZON = 50
"""B of Delta Acc@B."""


def horizon(runs: Sequence[Run]) -> int:
    """The paper's 50 steps, or half of the shortest run where that is less."""
    steps = min(max(run.metrics) for run in runs)
    return max(1, min(HORIZON, steps // 2))


def triggered(run: Run) -> npt.NDArray[np.int64]:
    """Steps with at least one all-wrong group."""
    found = metric(ALL_WRONG)(run)
    return found.steps[found.values > 0]


def rescues(run: Run) -> bool:
    """Whether any group was rescued."""
    return bool((metric(RESCUED)(run).values > 0).any())


def shared_trigger(lines: Sequence[Line]) -> npt.NDArray[np.int64] | None:
    """Steps that are triggered in all runs, where runs with and without rescue stand side by side;
    None where they do not, and each run has its own."""
    runs = [run for run in _all_runs(lines) if len(triggered(run))]
    if len({rescues(run) for run in runs}) < 2:
        return None
    steps = triggered(runs[0])
    for run in runs[1:]:
        steps = np.intersect1d(steps, triggered(run))
    return steps


def gains(run: Run, steps: npt.NDArray[np.int64], ahead: int, name: str) -> Series:
    """Value of a metric `ahead` steps after each of `steps`, less its value there; where both are
    known."""
    found = metric(name)(run)
    values = dict(zip(found.steps.tolist(), found.values.tolist(), strict=True))
    known = [step for step in steps.tolist() if step in values and step + ahead in values]
    return Series(
        np.array(known, dtype=np.int64),
        np.array([values[step + ahead] - values[step] for step in known], dtype=float),
    )


@dataclass(frozen=True)
class Effect:
    """One line's triggered steps, all seeds together: gains in accuracy over `horizon` steps and in
    KL over one, and the accuracy of all-wrong prompts when they came again."""

    label: str
    accuracy: Floats
    kl: Floats
    again: Floats


def effects(lines: Sequence[Line]) -> list[Effect]:
    """Of the lines with a triggered step."""
    ahead, shared = horizon(_all_runs(lines)), shared_trigger(lines)
    found = []
    for line in lines:
        runs = [run for run in line.seeds if len(triggered(run))]
        if not runs:
            continue
        own = [(run, triggered(run) if shared is None else shared) for run in runs]
        found.append(
            Effect(
                label=line.label,
                accuracy=np.concatenate([gains(r, s, ahead, ACCURACY).values for r, s in own]),
                kl=np.concatenate([gains(r, s, 1, KL).values for r, s in own]),
                again=np.concatenate([when_again(run) for run in runs]),
            )
        )
    return found


def paired(lines: Sequence[Line]) -> Series | None:
    """Delta Acc@B with rescue less without it, at the shared triggered steps, each a mean over the
    runs of its side; None without runs of both sides."""
    shared = shared_trigger(lines)
    if shared is None:
        return None
    ahead = horizon(_all_runs(lines))
    runs = [run for run in _all_runs(lines) if len(triggered(run))]
    with_it, without = (
        over_steps([gains(run, shared, ahead, ACCURACY) for run in runs if rescues(run) == side])
        for side in (True, False)
    )
    if with_it is None or without is None:
        return None
    steps, own, other = np.intersect1d(with_it.x, without.x, return_indices=True)
    return Series(steps.astype(np.int64), with_it.mean[own] - without.mean[other])


def when_again(run: Run) -> Floats:
    """Accuracy of each all-wrong group's prompt the next time that it was rolled out."""
    if run.groups is None:
        return np.array([])
    groups = run.groups.where(run.groups.prompt != "")
    groups = groups.where(np.lexsort((groups.step, groups.prompt)))
    same = groups.prompt[1:] == groups.prompt[:-1]
    wrong = groups.kind[:-1] == "all_wrong"
    return groups.accuracy[1:][same & wrong]


def _all_runs(lines: Sequence[Line]) -> list[Run]:
    return [run for line in lines for run in line.seeds]
