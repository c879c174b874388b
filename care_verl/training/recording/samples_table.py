"""The most telling groups of a recorded step, as a table in the run's trackers.

verl logs validation samples only (`ValidationGenerationsLogger`). Here it is training rows, as the
record has them: W&B gets a table, TensorBoard a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from verl.utils.tracking import Tracking

NAME = "care/samples"
COLUMNS = (
    *("step", "shows", "group", "question", "gold", "role", "response", "acc", "A", "d_cos"),
    "likelihood",
)
SHOWS = ("contrast", "repair", "rescue", "all right", "bonus")
"""What a group is shown for: a right answer beside the wrong one that thinks most alike; a failure
and its successful reflection; an all-wrong group that was trained on; a group without a failure;
GRPO-CARE's likeliest right answer beside the least likely one, if only one of them got the bonus.
"""

_MOST_LETTERS = 2000
_ENTITIES = {ord(sign): f"&#{ord(sign)};" for sign in "&<>|`*_[]~\\"}

Row = Mapping[str, Any]


def log_samples(tracking: Tracking, rows: Sequence[Row], step: int, groups: int) -> None:
    """Log at most `groups` groups of `rows`, which have the columns of `care_verl.records`.

    Other trackers have no table and get nothing.
    """
    samples = list(samples_of(rows, step, groups)) if groups else []
    if not samples:
        return
    if "wandb" in tracking.logger:
        import wandb

        table = wandb.Table(columns=list(COLUMNS), data=samples)
        tracking.logger["wandb"].log({NAME: table}, step=step)
    if "tensorboard" in tracking.logger:
        tracking.logger["tensorboard"].writer.add_text(NAME, _markdown(samples), step)


def samples_of(rows: Sequence[Row], step: int, groups: int) -> Iterator[list[Any]]:
    """The table's rows, in the order of `COLUMNS`.

    The kinds of `SHOWS` take turns, each with its groups of smallest distance between the rows
    that are shown.
    """
    by_kind: dict[str, list[list[Row]]] = {name: [] for name in SHOWS}
    for group in _groups(rows).values():
        found = _shown(group)
        if found is not None:
            by_kind[found[0]].append(found[1])
    for chosen in by_kind.values():
        chosen.sort(key=_distance)
    turns = zip_longest(*([(name, group) for group in by_kind[name]] for name in SHOWS))
    taken = [item for turn in turns for item in turn if item is not None][:groups]
    heads = {row["uid"]: row for row in rows if row.get("question") is not None}
    for name, group in taken:
        for row in group:
            yield _cells(step, name, row, heads.get(row["uid"], {}))


def _groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["uid"], []).append(row)
    return groups


def _shown(group: list[Row]) -> tuple[str, list[Row]] | None:
    """What a group is shown for, and its rows to show; None for one without an update."""
    if group[0]["role"] is None:
        return _consistent(group)
    anchor = next((row for row in group if row["role"] == "anchor"), None)
    if group[0]["kind"] == "all_right":
        return "all right", [min(group, key=lambda row: len(row["response_ids"]))]
    if anchor is None:
        return None
    repaired = next((row for row in group if row["role"] == "positive"), None)
    if repaired is not None:
        source = [row for row in group if row["session"] == repaired["reflected_from"]]
        return "repair", [anchor, *source, repaired]
    negatives = [row for row in group if row["role"] == "negative" and row["reflected_from"] < 0]
    if not negatives:
        return None
    nearest = min(negatives, key=lambda row: row["d_cos"])
    return "rescue" if group[0]["kind"] == "all_wrong" else "contrast", [anchor, nearest]


def _consistent(group: list[Row]) -> tuple[str, list[Row]] | None:
    scored = [row for row in group if row["accurate"] and row["answer_likelihood"] is not None]
    if all(row["bonus"] for row in scored):
        return None
    by_likelihood = sorted(scored, key=lambda row: float(row["answer_likelihood"]))
    return "bonus", [by_likelihood[-1], by_likelihood[0]]


def _distance(rows: list[Row]) -> float:
    """The smallest distance of a failure that is shown to the anchor; 0 without one."""
    distances = (row["d_cos"] for row in rows if row["role"] != "anchor")
    return min((one for one in distances if one is not None), default=0.0)


def _cells(step: int, name: str, row: Row, head: Row) -> list[Any]:
    return [
        step,
        name,
        row["uid"],
        _short(head.get("question")),
        _short(head.get("gold")),
        _role(row),
        _short(row["response"]),
        float(row["acc"]),
        float(row["advantage"]),
        None if row["d_cos"] is None else float(row["d_cos"]),
        None if row["answer_likelihood"] is None else float(row["answer_likelihood"]),
    ]


def _role(row: Row) -> str:
    if row["role"] is None:
        return "with bonus" if row["bonus"] else "no bonus"
    if row["reflected_from"] >= 0:
        return "reflection"
    # A successful reflection takes its source's place.
    replaced = row["is_source"] and row["role"] == "outside"
    return "source" if replaced else str(row["role"])


def _short(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]} …"


def _markdown(samples: list[list[Any]]) -> str:
    """A table of which no cell can end the row, or be taken for HTML or Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *([_cell(value) for value in row] for row in samples)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return "<br>".join(str(value).translate(_ENTITIES).splitlines())
