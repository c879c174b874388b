"""The table at the end of the demo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from care_verl.tools.demo.evaluate import BENCHMARK, Evaluation
from care_verl.tools.demo.run_log import RunLog
from care_verl.tools.evaluation.lines import Gain, gains
from care_verl.tools.evaluation.statistics import Interval
from care_verl.tools.evaluation.table import points

STAGES = ("gen", "care", "old_log_prob", "ref", "update_actor", "update_weights", "testing", "step")


@dataclass(frozen=True)
class Summary:
    """What a demo run showed; `pages` are files to look at, by what they are."""

    before: Evaluation
    after: Evaluation
    log: RunLog
    checkpoint: Path
    pages: dict[str, Path]

    @property
    def gain(self) -> Gain:
        """Difference of mean@n, paired by chart."""
        return gains([self.before.sampled, self.after.sampled])[0]

    def tables(self) -> Iterator[Table]:
        """Accuracy, what CARE did, and where the time went."""
        yield self._accuracy()
        if self.log.series("care/rows/total"):
            yield self._learning()
        yield self._times()

    def _accuracy(self) -> Table:
        charts = len(self.before.charts)
        table = Table(title=f"Accuracy on {charts} held-out charts", title_justify="left")
        for column in ("", "before", "after"):
            table.add_column(column, justify="left" if not column else "right")
        sides = (self.before, self.after)
        greedy = [side.greedy.accuracy(BENCHMARK.name) for side in sides]
        gain = self.gain.benchmarks[BENCHMARK.name].interval
        table.add_row("mean@8, T=1", *(_plus_minus(side.mean) for side in sides))
        table.add_row("pass@8", *(f"{side.pass_at_n:.1%}" for side in sides))
        table.add_row("greedy", *(f"{one.mean:.1%}" for one in greedy))
        for kind in sorted({kind for side in sides for kind in side.errors}):
            table.add_row(f"wrong: {kind}", *(_share(side, kind) for side in sides))
        table.add_row("gain in mean@8", "", f"{points(gain)} points")
        return table

    def _learning(self) -> Table:
        table = Table(title="What CARE did", title_justify="left", show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        total, updated = self.log.total("care/rows/total"), self.log.total("care/rows/updated")
        triggered = self.log.total("care/rgr/triggered")
        shares = self.log.series("care/signal/failure_share")
        rows = {
            "training steps": f"{len(self.log.series('care/rows/total'))}",
            "rows rolled out": f"{total:.0f}",
            "rows updated": f"{updated:.0f} ({updated / total:.0%})",
            "RGR triggered": f"{triggered:.0f}",
            "RGR succeeded": _of(self.log.total("care/rgr/succeeded"), triggered),
            "all-wrong groups rescued": f"{self.log.total('care/groups/rescued'):.0f}",
            "learning signal from failures": f"{sum(shares) / max(1, len(shares)):.0%}",
        }
        for name, value in rows.items():
            table.add_row(name, value)
        table.add_row("checkpoint", str(self.checkpoint))
        for name, path in self.pages.items():
            table.add_row(name, str(path))
        return table

    def _times(self) -> Table:
        table = Table(title="Seconds per stage (mean of a step)", title_justify="left")
        table.add_column("stage")
        table.add_column("seconds", justify="right")
        for stage in STAGES:
            values = self.log.series(f"timing_s/{stage}")
            if values:
                table.add_row(stage, f"{sum(values) / len(values):.2f}")
        return table


def _plus_minus(interval: Interval) -> str:
    return f"{interval.mean:.1%} ± {interval.half:.1%}"


def _share(evaluation: Evaluation, kind: str) -> str:
    wrong = sum(evaluation.errors.values())
    return f"{evaluation.errors.get(kind, 0) / wrong:.0%} of {wrong}" if wrong else "-"


def _of(part: float, whole: float) -> str:
    return f"{part:.0f} ({part / whole:.0%})" if whole else f"{part:.0f}"
