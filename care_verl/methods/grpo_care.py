"""GRPO-CARE (arXiv 2506.16141) as the tools see it."""

from __future__ import annotations

from collections.abc import Sequence

from care_verl.methods.method import Column, Curve, Figure, Method, Number, Row, Sample


def _part_of(row: Row) -> str:
    if not row["accurate"]:
        return "inaccurate"
    return "bonus" if row["bonus"] else "no-bonus"


def _note_on(row: Row) -> str:
    return "" if row["answer_likelihood"] is not None else "it has no answer, and so no likelihood"


def _likeliest(row: Row) -> tuple[float, ...]:
    return not row["accurate"], -float(row["answer_likelihood"] or 0.0)


def _role_of(row: Row) -> str:
    return "with bonus" if row["bonus"] else "no bonus"


def _sample(group: Sequence[Row]) -> Sample | None:
    """The likeliest right answer beside the least likely one, if only one of them got the bonus."""
    scored = [row for row in group if row["accurate"] and row["answer_likelihood"] is not None]
    if all(row["bonus"] for row in scored):
        return None
    by_likelihood = sorted(scored, key=lambda row: float(row["answer_likelihood"]))
    return Sample("bonus", (by_likelihood[-1], by_likelihood[0]))


GRPO_CARE = Method(
    name="grpo_care",
    title="GRPO-CARE",
    wiring="care_verl.training.grpo_care.wiring",
    marker="accurate",
    graded=True,
    columns=(
        Column(
            "accurate", "bool", "whether the row was compared with the group's other accurate rows"
        ),
        Column("answer_tokens", "span", "the same as `answer`, but null where that is empty"),
        # Likelihoods are compared with each other, and kept as they were.
        Column(
            "answer_likelihood",
            "float64",
            "exp of the mean log-probability of these tokens under the "
            "moving reference, held at `confidence_upper_bound`; null without an answer",
        ),
        Column(
            "bonus", "float32", "the consistency bonus on top of the reward; 0 where none was given"
        ),
        Column(
            "advantage_base",
            "float32",
            "what A would be without any bonus; the rest of A is the bonuses'",
        ),
    ),
    figures=(
        Figure(
            "consistency",
            "GRPO-CARE's bonus and likelihoods",
            (
                Curve(
                    "accurate rows with the bonus",
                    "share",
                    "grpo_care/bonus/rate_of_accurate",
                    share=True,
                ),
                Curve(
                    "answers of accurate rows", "mean likelihood", "grpo_care/likelihood/accurate"
                ),
                Curve(
                    "answers of the others", "mean likelihood", "grpo_care/likelihood/inaccurate"
                ),
            ),
        ),
    ),
    averages=(
        ("accurate rows with bonus, mean of steps", "grpo_care/bonus/rate_of_accurate"),
        ("likelihood of their answers, mean of steps", "grpo_care/likelihood/accurate"),
    ),
    parts={
        "bonus": "Accurate, with bonus",
        "no-bonus": "Accurate, no bonus",
        "inaccurate": "Not accurate",
    },
    part_of=_part_of,
    numbers=(
        Number("p", "answer_likelihood", "likelihood of the answer under the moving reference"),
        Number("bonus", "bonus", "consistency bonus on top of the reward", signed=True),
        Number(
            "A without bonuses",
            "advantage_base",
            "what A would be if no row of the group had got a bonus",
            signed=True,
        ),
    ),
    note_on=_note_on,
    order=_likeliest,
    role_of=_role_of,
    sample=_sample,
    shows=("bonus",),
    sample_column=("likelihood", "answer_likelihood"),
)
