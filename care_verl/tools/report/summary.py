"""The one-page summary: key numbers of each line, the figures, what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from care_verl.common.tables import markdown
from care_verl.methods import METHODS
from care_verl.tools.report import signature
from care_verl.tools.report.lines import Line, notes_on
from care_verl.tools.report.rescue import horizon, paired
from care_verl.tools.report.runs import Run
from care_verl.tools.report.series import (
    ALL_WRONG,
    RESCUED,
    REWARD,
    RGR_SUCCEEDED,
    RGR_TRIGGERED,
    STAGES,
    Pick,
    Series,
    accuracy,
    decoded_tokens,
    failure_share,
    metric,
    stage_series,
    validation,
)
from care_verl.tools.statistics import estimate, wilson

NOTHING = "–"


def key_numbers(lines: Sequence[Line]) -> list[tuple[str, list[str]]]:
    """Rows of the table: a name and one cell for each line; rows without any number left out."""
    rows: list[tuple[str, Callable[[Line], str]]] = [
        ("runs", lambda line: str(len(line.seeds))),
        ("steps", lambda line: _mean(line, lambda run: float(max(run.metrics)), "{:.0f}")),
        ("rows rolled out", lambda line: _sum(line, "care/rows/total")),
        ("rows updated", lambda line: _sum(line, "care/rows/updated")),
        ("decoded tokens", lambda line: _last(line, lambda run: decoded_tokens(run).series)),
        ("reward, first → last step", lambda line: _ends(line, metric(REWARD), "{:.3f}")),
        ("accuracy of rollouts, first → last step", lambda line: _ends(line, accuracy)),
        ("validation accuracy, first → last", lambda line: _ends(line, validation)),
        ("signal from failures, mean of steps", lambda line: _average(line, failure_share)),
        *((name, _average_of(source)) for m in METHODS.values() for name, source in m.averages),
        ("reflections right", _reflections),
        ("all-wrong groups rescued", _rescued),
        ("K′ check", _check),
    ]
    rows += [(f"seconds: {name}", _stage(place)) for place, name in enumerate([*STAGES, "other"])]
    found = [(name, [cell(line) for line in lines]) for name, cell in rows]
    return [(name, cells) for name, cells in found if set(cells) != {NOTHING}]


def page(
    lines: Sequence[Line],
    figures: Sequence[tuple[str, str]],
    left_out: Mapping[str, Sequence[str]],
) -> str:
    """Markdown. `figures` are name and title of those drawn; `left_out` what each figure lacks."""
    return "\n".join([*_head(lines), *_figures(figures), *_notes(lines, left_out)]) + "\n"


def check_line(line: Line) -> str:
    """The K' check in words."""
    groups = line.groups
    if groups is None:
        return "no recorded rows"
    normalization = line.seeds[0].setting("algorithm.care.normalization")
    if normalization not in (None, "zscore"):
        return f"not applicable: Eq. 9 is about z-scores, the run has normalization={normalization}"
    if not groups.k_s.any():
        return "not applicable: no group has an anchor"
    made = signature.check(groups)
    if made is None:
        return "no group with graded rewards"
    rs = (made.r_anchor, made.r_negative)
    r = ", ".join("undefined for one α" if r is None else f"{r:.5f}" for r in rs)
    verdict = "holds" if made.holds else "**does not hold**"
    return (
        f"{verdict}: r = {r} (anchors, negatives), largest distance from α {made.deviation:.1e}, "
        f"{made.groups} groups"
    )


def _head(lines: Sequence[Line]) -> Iterator[str]:
    yield "# Report"
    yield ""
    for line in lines:
        yield f"- **{line.label}**: {', '.join(f'`{run.path}`' for run in line.seeds)}"
    yield ""
    rows = ([name, *cells] for name, cells in key_numbers(lines))
    yield from markdown(["", *(line.label for line in lines)], rows)
    yield ""
    yield "± is half the width of a 95 % interval over seeds; of reflections, Wilson's interval."
    gain = paired(lines)
    if gain is not None and gain:
        mean = estimate(100 * gain.values)
        runs = [run for line in lines for run in line.seeds]
        yield (
            f"Rescue against no rescue, paired over {mean.count} steps with an all-wrong group in "
            f"every run: ΔAcc@{horizon(runs)} {mean.mean:+.2f} ± {mean.half:.2f} points."
        )


def _figures(figures: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, title in figures:
        yield ""
        yield f"## {title}"
        yield ""
        yield f"[![{title}]({name}.png)]({name}.svg)"


def _notes(lines: Sequence[Line], left_out: Mapping[str, Sequence[str]]) -> Iterator[str]:
    notes = [f"- {note}" for line in lines for run in line.seeds for note in run.notes]
    notes += [f"- {note}" for line in lines for note in notes_on(line)]
    notes += [f"- {title}: {note}" for title, own in left_out.items() for note in own]
    if notes:
        yield ""
        yield "## What is missing or doubtful"
        yield ""
        yield from notes


def _average_of(name: str) -> Callable[[Line], str]:
    return lambda line: _average(line, metric(name))


def _mean(line: Line, value: Callable[..., float | None], form: str) -> str:
    known = [value(run) for run in line.seeds]
    numbers = np.array([number for number in known if number is not None])
    if not len(numbers):
        return NOTHING
    found = estimate(numbers)
    if found.count == 1 or np.ptp(numbers) == 0:
        return form.format(found.mean)
    return f"{form.format(found.mean)} ± {form.format(found.half)}"


def _sum(line: Line, name: str) -> str:
    return _mean(line, lambda run: _nonzero(metric(name)(run)), "{:,.0f}")


def _nonzero(series: Series) -> float | None:
    return float(series.values.sum()) if series else None


def _last(line: Line, pick: Pick) -> str:
    return _mean(line, lambda run: float(s.values[-1]) if (s := pick(run)) else None, "{:,.0f}")


def _ends(line: Line, pick: Pick, form: str = "{:.1%}") -> str:
    def at(place: int) -> str:
        return _mean(line, lambda run: float(s.values[place]) if (s := pick(run)) else None, form)

    return NOTHING if at(0) == NOTHING else f"{at(0)} → {at(-1)}"


def _average(line: Line, pick: Pick) -> str:
    return _mean(line, lambda run: float(s.values.mean()) if (s := pick(run)) else None, "{:.1%}")


def _reflections(line: Line) -> str:
    succeeded, triggered = line.total(RGR_SUCCEEDED), line.total(RGR_TRIGGERED)
    if not triggered:
        return NOTHING
    low, high = wilson(int(succeeded), int(triggered))
    rate = succeeded / triggered
    return f"{succeeded:,.0f} of {triggered:,.0f}: {rate:.1%} ({low:.1%} to {high:.1%})"


def _rescued(line: Line) -> str:
    if not any(metric(ALL_WRONG)(run) for run in line.seeds):
        return NOTHING
    return f"{line.total(RESCUED):,.0f} of {line.total(ALL_WRONG):,.0f}"


def _check(line: Line) -> str:
    groups = line.groups
    return check_line(line) if groups is not None and groups.k_s.any() else NOTHING


def _stage(place: int) -> Callable[[Line], str]:
    def cell(line: Line) -> str:
        def mean(run: Run) -> float | None:
            found = stage_series(run, place)
            return float(found.values.mean()) if found and found.values.any() else None

        return _mean(line, mean, "{:.2f}")

    return cell
