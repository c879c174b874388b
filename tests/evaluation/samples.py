"""Answers and models made up for the tests."""

from __future__ import annotations

from collections.abc import Sequence

from care_verl.tools.evaluation.answers import Answer
from care_verl.tools.evaluation.checkpoint import Model
from care_verl.tools.evaluation.lines import Line, Seed

WIDE = {"COLUMNS": "400"}
"""For commands whose output is searched, so that no message is broken in two."""


def answers(accs: Sequence[float], benchmark: str = "embedded") -> list[Answer]:
    """One answer a question; the even ones count in group `even`."""
    return [
        Answer(
            benchmark=benchmark,
            row=row,
            doc_id=f"q{row}",
            sample=0,
            group="odd" if row % 2 else "even",
            gold="8",
            response=f"<think>…</think><answer>{8 if acc else 9}</answer>",
            answer="8" if acc else "9",
            read="8" if acc else "9",
            rule="number",
            acc=acc,
            fmt=1.0,
        )
        for row, acc in enumerate(accs)
    ]


def line(label: str, *seeds: dict[str, Sequence[float]]) -> Line:
    """A line whose seeds have these verdicts by benchmark."""
    return Line(
        label,
        tuple(
            Seed(
                Model(f"{label}-{place}", f"/models/{label}-{place}"),
                {name: answers(accs, name) for name, accs in seed.items()},
            )
            for place, seed in enumerate(seeds)
        ),
    )
