"""The comparison as a table on the console, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from care_verl.common import tables
from care_verl.common.files import write_text
from care_verl.tools.replay.comparison import Comparison, Outcome
from care_verl.tools.replay.embedding import DIMENSIONS
from care_verl.tools.replay.rollouts import Dump

KIND_NAMES = {"mixed": "mixed", "all_wrong": "all wrong", "all_right": "all right"}
_LISTED = 100

_LINES: list[tuple[str, Callable[[Outcome], str]]] = [
    ("rows rolled out", lambda one: str(one.rows)),
    ("rows updated", lambda one: str(one.updated)),
    ("share of rows updated", lambda one: _share(one.updated_share)),
    ("Σ|A|, mixed groups", lambda one: f"{one.signal['mixed']:.1f}"),
    ("Σ|A|, all-wrong groups", lambda one: f"{one.signal['all_wrong']:.1f}"),
    ("Σ|A|, all-right groups", lambda one: f"{one.signal['all_right']:.1f}"),
    ("Σ|A| from failures", lambda one: _share(one.failure_share)),
    ("groups without signal", lambda one: str(one.silent_groups)),
    ("opposite sign to GRPO's", lambda one: str(one.opposite)),
    ("updated, not by GRPO", lambda one: str(one.gained)),
    ("updated by GRPO only", lambda one: str(one.lost)),
    ("mean |A| of updated", lambda one: _size(one.mean_size)),
    ("groups lacking data", lambda one: str(one.incomplete)),
]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _size(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def cells(comparison: Comparison) -> list[list[str]]:
    """The table's body: a name, and a cell for each estimator."""
    return [[name, *map(cell, comparison.outcomes)] for name, cell in _LINES]


def head(comparison: Comparison) -> str:
    """What was replayed."""
    kinds = ", ".join(f"{count} {KIND_NAMES[kind]}" for kind, count in comparison.groups.items())
    low, high = comparison.sizes
    size = str(low) if low == high else f"{low} to {high}"
    reflections = f", {comparison.reflections} reflections" if comparison.reflections else ""
    return f"{sum(comparison.groups.values())} groups of {size} ({kinds}){reflections}"


def table(comparison: Comparison) -> Table:
    """For the console."""
    made = Table(title=head(comparison), title_justify="left", box=SIMPLE_HEAD)
    made.add_column("")
    for one in comparison.outcomes:
        made.add_column(one.name, justify="right", no_wrap=True)
    for row in cells(comparison):
        made.add_row(*row)
    return made


def notes(dump: Dump, comparison: Comparison) -> list[str]:
    """What the numbers rest on, and what they leave out."""
    return [
        *dump.notes,
        *_reading_notes(comparison),
        *_care_notes(dump, comparison),
        "GRPO: (r − mean)/(std + 1e-6), std with n − 1, as in verl. DAPO: the same without groups "
        "of equal accuracy, in whose place it rolls out more; its wider clip range and token mean "
        "act after the advantage.",
        *_grpo_care_notes(dump, comparison),
        "Compared are advantages of sequences. What a token gets depends on the loss: CARE puts A "
        "on the answer's tokens (Eq. 11), the others on all.",
    ]


def _reading_notes(comparison: Comparison) -> list[str]:
    made = []
    low, high = comparison.sizes
    if low != high:
        made.append(
            f"Groups have {low} to {high} rollouts: rows are missing, prompts with the same text "
            "fell into one group, or the dump has reflections among its rollouts."
        )
    if comparison.sign_agreement is not None:
        made.append(
            f"The dump's own advantages have the sign of GRPO's here in "
            f"{comparison.sign_agreement:.1%} of the rows; far below 100%, other columns than the "
            "reward were added up, weights are missing, or the run had another estimator."
        )
    return made


def _care_notes(dump: Dump, comparison: Comparison) -> list[str]:
    stands, config = comparison.stands, comparison.config
    made = [
        f"CARE: K = {config.K}, M = {config.M}, s = {config.s:g}, "
        f"equalize = {str(config.equalize).lower()}, rescue = {str(config.rescue).lower()}."
    ]
    if comparison.recorded_distance is not None:
        made.append(
            f"CARE: advantages differ from the record's by {comparison.recorded_distance:.1e} at "
            "most."
        )
    if stands.distances:
        made.append(
            f"CARE: in {stands.distances} groups hard negatives come from the recorded distances "
            "to the anchor; those between failures are not recorded, and are taken as in a plane."
        )
    if stands.words:
        made.append(
            f"CARE: {stands.words} groups have no embeddings. A stand-in takes their place: "
            f"hashed words and pairs of words of the rationale, {DIMENSIONS} numbers, normalised. "
            "It decides which failures are hard negatives."
        )
    if comparison.without_rationale:
        made.append(
            f"CARE: {comparison.without_rationale} responses have no rationale between the tags "
            "and are taken as empty ones (--think-tag, --prefilled)."
        )
    if stands.without_logp:
        made.append(
            f"CARE: {stands.without_logp} all-wrong groups have no log-probabilities; the shortest "
            "response is the pseudo-anchor. Σ|A| does not depend on which row it is."
        )
    if not any(row.recorded is not None for row in dump.rollouts):
        made.append("CARE: without reflections, which the dump does not have.")
    return made


def _grpo_care_notes(dump: Dump, comparison: Comparison) -> list[str]:
    one = next(one for one in comparison.outcomes if one.name == "GRPO-CARE")
    settings = dump.consistency
    made = [
        f"GRPO-CARE: ε = {settings.eps:g}, bonus_coefficient = {settings.bonus_coefficient:g}, "
        f"margin = {settings.margin:g}. Its consistency bonus needs the reference model's "
        "likelihood of the answer's tokens alone."
    ]
    if one.read:
        made.append(
            f"GRPO-CARE: {one.read} groups have that likelihood in the file "
            "(answer_likelihood); their bonuses are computed from it."
        )
    if comparison.consistency_distance is not None:
        made.append(
            "GRPO-CARE: advantages differ from the run's own by "
            f"{comparison.consistency_distance:.1e} at most."
        )
    if one.incomplete:
        made.append(
            f"GRPO-CARE: {one.incomplete} groups without that likelihood have more than one "
            "accurate row and are replayed without the bonus, so their numbers are those of the "
            "accuracy reward. Where one row is accurate, the bonus is certain."
        )
    elif not one.read:
        made.append("GRPO-CARE: the file does not have it; here no group needs it.")
    return made


def as_json(source: Path, dump: Dump, comparison: Comparison) -> dict[str, Any]:
    """All numbers as plain values."""
    return {
        "source": str(source),
        "format": dump.format,
        **asdict(comparison),
        "config": comparison.config.to_mapping(),
        "notes": notes(dump, comparison),
        "malformed": [asdict(item) for item in dump.malformed],
    }


def markdown(source: Path, dump: Dump, comparison: Comparison, figure: str) -> str:
    """The comparison as a page."""
    names = [one.name for one in comparison.outcomes]
    rows = tables.markdown(["", *names], cells(comparison), range(1, len(names) + 1))
    lines = [
        "# Replay",
        "",
        f"`{source}` ({dump.format}): {head(comparison)}.",
        "",
        *rows,
        "",
        f"![Signal by kind of group, and share from failures]({figure})",
        "",
        *(f"- {note}" for note in notes(dump, comparison)),
    ]
    if dump.malformed:
        count = len(dump.malformed)
        lines += ["", f"## Left out: {count}", ""]
        lines += [f"- {item.where}: {item.reason}" for item in dump.malformed[:_LISTED]]
        if count > _LISTED:
            lines.append(f"- and {count - _LISTED} more, in `replay.json`")
    return "\n".join([*lines, ""])


def write_report(
    out: Path, source: Path, dump: Dump, comparison: Comparison, figure: str
) -> list[Path]:
    """Write `replay.md` and `replay.json` into `out`; their paths."""
    page, data = out / "replay.md", out / "replay.json"
    write_text(page, markdown(source, dump, comparison, figure))
    write_text(data, json.dumps(as_json(source, dump, comparison), indent=1) + "\n")
    return [page, data]
