"""Named series of a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from care_verl.methods import METHODS
from care_verl.tools.report.runs import Metrics, Run
from care_verl.tools.statistics import Floats

REWARD = "critic/rewards/mean"
ACCURACY = "care/acc/mean"
ACCURACIES = tuple(f"{method}/acc/mean" for method in METHODS)
KL = "actor/kl_loss"
CLIP_RATE = "care/clip/negative_rate"
VARIANCE_RATIO = "care/variance/ratio"
FAILURE_SHARE = "care/signal/failure_share"
ANCHOR_LENGTH = "care/anchor/think_len"
RGR_RATE = "care/rgr/success_rate"
RGR_TRIGGERED = "care/rgr/triggered"
RGR_SUCCEEDED = "care/rgr/succeeded"
ALL_WRONG = "care/groups/all_wrong"
RESCUED = "care/groups/rescued"
TOKENS = "care/tokens/total"
STEP_SECONDS = "timing_s/step"

STAGES = (
    "gen",
    "care",
    "records",
    "old_log_prob",
    "ref",
    "adv",
    "update_actor",
    "update_weights",
    "save_checkpoint",
    "testing",
)
"""verl's and our timers within a step, in order; none contains another."""

GROUP_KINDS = ("mixed", "rescued", "all wrong, skipped", "all right", "all wrong")
"""The last where a method neither rescues nor skips."""
_RECORDED_KINDS = ("mixed", "", "", "all_right", "all_wrong")

_VALIDATION = re.compile(r"val-core/.+/(acc|reward)/mean@\d+")


@dataclass(frozen=True)
class Series:
    """Values [T] at steps [T], steps ascending."""

    steps: npt.NDArray[np.int64]
    values: Floats

    def __bool__(self) -> bool:
        return len(self.steps) > 0


Pick = Callable[[Run], Series]


def metric(name: str) -> Pick:
    """The series of a metric, over the steps that have it."""
    return lambda run: series_of(run, lambda metrics: metrics.get(name))


def series_of(run: Run, value: Callable[[Metrics], float | None]) -> Series:
    """A series computed from each step's metrics; steps where it is None are left out."""
    found = [(step, value(metrics)) for step, metrics in run.metrics.items()]
    pairs = [(step, number) for step, number in found if number is not None]
    return Series(
        np.array([step for step, _ in pairs], dtype=np.int64),
        np.array([number for _, number in pairs], dtype=float),
    )


def accuracy(run: Run) -> Series:
    """Accuracy of the rollouts, as the run's method logs it."""
    return series_of(
        run, lambda metrics: next((metrics[name] for name in ACCURACIES if name in metrics), None)
    )


def validation(run: Run) -> Series:
    """Unweighted mean over the validation sets of `val-core/SOURCE/acc/mean@N`, or of the reward
    where verl was given no `acc`."""

    def macro(metrics: Metrics) -> float | None:
        values = [value for name, value in metrics.items() if _VALIDATION.fullmatch(name)]
        return float(np.mean(values)) if values else None

    return series_of(run, macro)


def step_tokens(metrics: Metrics) -> float | None:
    """Response tokens rolled out in a step.

    CARE logs them. Other estimators' are verl's total times the responses' part of it; both are
    over all rows there.
    """
    if TOKENS in metrics:
        return metrics[TOKENS]
    names = ("perf/total_num_tokens", "prompt_length/mean", "response_length/mean")
    if not all(name in metrics for name in names):
        return None
    total, prompt, response = (metrics[name] for name in names)
    return total * response / (prompt + response)


@dataclass(frozen=True)
class Tokens:
    """Tokens rolled out up to and with each step [T]; `filled` steps are interpolated."""

    series: Series
    filled: int


def decoded_tokens(run: Run) -> Tokens:
    """Cumulative `step_tokens` from step 1 to the last one.

    A step without metrics (not recorded, damaged) counts as its neighbours do, by interpolation.
    """
    known = series_of(run, step_tokens)
    if not known:
        return Tokens(known, 0)
    steps = np.arange(1, known.steps[-1] + 1)
    each = np.interp(steps, known.steps, known.values)
    filled = len(steps) - int(np.isin(steps, known.steps).sum())
    return Tokens(Series(steps, np.cumsum(each)), filled)


def right_length(run: Run) -> Series:
    """Mean rationale tokens of the right originals of each recorded step."""
    if run.groups is None:
        return Series(np.array([], dtype=np.int64), np.array([]))
    return _ratio(run.groups.step, run.groups.right_length, run.groups.right)


def failure_share(run: Run) -> Series:
    """Share of the sum of |A| that comes from failures: as CARE logs it, else from the rows."""
    logged = metric(FAILURE_SHARE)(run)
    if logged or run.groups is None:
        return logged
    return _ratio(run.groups.step, run.groups.failed_signal, run.groups.signal)


def _ratio(step: npt.NDArray[np.int64], part: npt.NDArray, whole: npt.NDArray) -> Series:
    """Sum of `part` over sum of `whole` of each step's groups; steps without any are left out."""
    steps, place = np.unique(step, return_inverse=True)
    parts, wholes = np.bincount(place, part), np.bincount(place, whole)
    return Series(steps[wholes > 0], parts[wholes > 0] / wholes[wholes > 0])


def group_shares(metrics: Metrics) -> list[float] | None:
    """Shares of `GROUP_KINDS` among a step's groups."""
    names = ("mixed", "rescued", "all_wrong", "all_right")
    if not all(f"care/groups/{name}" in metrics for name in names):
        return None
    mixed, rescued, all_wrong, all_right = (metrics[f"care/groups/{name}"] for name in names)
    total = mixed + all_wrong + all_right
    parts = (mixed, rescued, all_wrong - rescued, all_right, 0.0)
    return [part / total for part in parts] if total else None


def group_share(run: Run, place: int) -> Series:
    """Share of one of `GROUP_KINDS` in each step: as CARE logs it, else by the recorded rows."""
    logged = series_of(run, lambda metrics: s[place] if (s := group_shares(metrics)) else None)
    if logged or run.groups is None:
        return logged
    own = run.groups.kind == _RECORDED_KINDS[place]
    return _ratio(run.groups.step, own, np.ones(len(own)))


def stage_seconds(metrics: Metrics) -> list[float] | None:
    """Seconds of `STAGES`, and of what is left of the step."""
    if STEP_SECONDS not in metrics:
        return None
    known = [metrics.get(f"timing_s/{stage}", 0.0) for stage in STAGES]
    return [*known, max(0.0, metrics[STEP_SECONDS] - sum(known))]


def stage_series(run: Run, place: int) -> Series:
    """Seconds of one of `STAGES`, or of what is left behind the last, in each step."""
    return series_of(run, lambda metrics: s[place] if (s := stage_seconds(metrics)) else None)


def kprime_counts(run: Run) -> Floats:
    """Groups by K', over all steps [K + 1]; empty without the metrics."""
    name = "care/kprime/hist_"
    found: dict[int, float] = {}
    for metrics in run.metrics.values():
        for key, value in metrics.items():
            if key.startswith(name):
                k = int(key[len(name) :])
                found[k] = found.get(k, 0.0) + value
    return np.array([found.get(k, 0.0) for k in range(max(found, default=-1) + 1)])
