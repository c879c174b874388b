"""Which groups of a record are wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from care_verl.records.files import RunRecord, StepRecord
from care_verl.tools.atlas.groups import Group
from care_verl.tools.atlas.suspicion import suspicion

_LIGHT = [
    *("uid", "session", "reflected_from", "is_source", "question", "gold", "images"),
    *("data_source", "index", "kind", "role", "acc", "k_prime", "k_s", "d_cos", "rgr_outcome"),
    "advantage",
]


@dataclass(frozen=True)
class Wanted:
    """What a group has to be; all that is asked for has to hold.

    step: None for all steps, or for the last one if nothing else is asked for.
    search: a text that stands in question, gold or a response, in any case.
    limit: how many groups at most; the worst first with `worst_false_negative`, else the earliest.
    """

    step: int | None = None
    worst_false_negative: bool = False
    rescued: bool = False
    repaired: bool = False
    search: str | None = None
    limit: int = 200

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"limit is {self.limit}; expected at least 1")
        if self.search is not None and not self.search.strip():
            raise ValueError("search is blank; expected a text to look for")

    @property
    def whole_step(self) -> bool:
        """Nothing is asked for but a step."""
        chosen = self.worst_false_negative, self.rescued, self.repaired, self.search
        return not any(chosen)

    @property
    def words(self) -> str:
        """What is asked for, as a phrase; empty for a whole step."""
        asked = {
            "suspected false negatives, worst first": self.worst_false_negative,
            "rescued": self.rescued,
            "repaired": self.repaired,
            f"with “{self.search}”": self.search is not None,
        }
        return ", ".join(phrase for phrase, holds in asked.items() if holds)


@dataclass(frozen=True)
class Choice:
    """The chosen groups, at most `wanted.limit`.

    found: how many fit. steps: the steps that were searched, in order.
    seen: groups in those steps by kind, with those rescued and repaired counted once more.
    """

    groups: list[Group]
    found: int
    steps: list[int]
    seen: Counter[str]


def choose(record: RunRecord, wanted: Wanted) -> Choice:
    """Find the wanted groups. Raises RecordError for a step that is not in the record."""
    steps = _steps(record, wanted)
    seen: Counter[str] = Counter()
    fitting: list[tuple[float, int, str]] = []
    for step in steps:
        for group in _groups(step, _columns(wanted)):
            _count(seen, group)
            score = _score(group, wanted)
            if score is not None:
                fitting.append((-score, group.step, group.uid))
    kept = sorted(fitting)[: wanted.limit]
    whole = {
        group.uid: group
        for step in steps
        for group in _whole(step, {uid for _, number, uid in kept if number == step.step})
    }
    return Choice(
        [whole[uid] for _, _, uid in kept], len(fitting), [step.step for step in steps], seen
    )


def named(record: RunRecord, uid: str) -> Group:
    """One group by its uid. Raises KeyError where the record has none of this name."""
    for step in record:
        for group in _whole(step, {uid}):
            return group
    raise KeyError(f"{uid} is no group of {record.folder}; expected one such as s000012p00003")


def _steps(record: RunRecord, wanted: Wanted) -> list[StepRecord]:
    if wanted.step is not None:
        return [record.step(wanted.step)]
    return record.steps[-1:] if wanted.whole_step else record.steps


def _columns(wanted: Wanted) -> list[str]:
    columns = list(_LIGHT)
    if wanted.search is not None:
        columns.append("response")
    if wanted.worst_false_negative:
        columns += ["pred", "pieces", "answer"]
    return columns


def _score(group: Group, wanted: Wanted) -> float | None:
    """None where the group is not wanted; how suspicious it is, or 0 if that was not asked."""
    if (wanted.rescued and not group.rescued) or (wanted.repaired and not group.repaired):
        return None
    if wanted.search is not None and not _has(group, wanted.search):
        return None
    return _worst(group) if wanted.worst_false_negative else 0.0


def _has(group: Group, search: str) -> bool:
    texts = (group.prompt["question"], group.prompt["gold"], *(r["response"] for r in group.rows))
    return any(search.casefold() in text.casefold() for text in texts if text)


def _worst(group: Group) -> float | None:
    found = (
        suspicion(row, group.prompt["gold"], row["data_source"] or "") for row in group.originals
    )
    return max((one.score for one in found if one is not None), default=None)


def _count(seen: Counter[str], group: Group) -> None:
    seen[group.kind] += 1
    seen["rescued"] += group.rescued
    seen["repaired"] += group.repaired


def _whole(step: StepRecord, uids: set[str]) -> Iterable[Group]:
    """The groups of these uids with all columns; the file is read only if there are any."""
    if not uids:
        return []
    return _groups(step, None, uids)


def _groups(
    step: StepRecord, columns: list[str] | None, uids: set[str] | None = None
) -> Iterator[Group]:
    """Groups of a step with the columns named, or all; those of some uids, or all."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = step.table(columns)
    if uids is not None:
        table = table.filter(pc.is_in(table["uid"], value_set=pa.array(sorted(uids))))
    rows: list[dict[str, Any]] = table.to_pylist()
    rows.sort(key=lambda row: (row["uid"], row["session"]))
    for uid, members in groupby(rows, key=lambda row: str(row["uid"])):
        yield Group(uid, step.step, tuple(members))
