"""care-verl's own records, a run's folder or one step's file; `care_verl.records` is the format.

Rows of other methods than CARE have no part in a subgroup; those of GRPO-CARE have the likelihood
of their answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from care_verl.algorithm import CareConfig
from care_verl.algorithm.consistency_config import GrpoCareConfig
from care_verl.algorithm.groups import ORIGINAL
from care_verl.common.jsonl import Malformed
from care_verl.methods import METHODS, method_of_row
from care_verl.records.files import FOLDER, RunRecord, StepRecord
from care_verl.records.schema import RecordError
from care_verl.tools.replay.columns import UnusableError, likelihood, number
from care_verl.tools.replay.readers.lines import NO_READING, column_names
from care_verl.tools.replay.rollouts import Dump, Reading, Recorded, ReplayError, Rollout
from care_verl.tools.replay.texts import measured

EXPECTED = "folder of step_NNNNNN.parquet, its parent, or one such file"
_COLUMNS = [
    "uid",
    "session",
    "reflected_from",
    "response",
    "response_mask",
    "rationale",
    "answer",
    "acc",
    "reward",
    "role",
    "is_source",
    "d_cos",
    "advantage",
    "logp_rollout",
    "answer_likelihood",
]
_MARKERS = [method.marker for method in METHODS.values()]
_NEVER_NULL = {
    "uid",
    "session",
    "reflected_from",
    "response",
    "response_mask",
    "acc",
    "reward",
    "advantage",
}
_CARES = {"role", "is_source", "logp_rollout"}
"""Never null in rows of CARE."""


def fits(path: Path) -> bool:
    """Whether there is a step of a record."""
    found = files(path)
    return bool(found) and (path.is_dir() or {"uid", "advantage_raw"} <= set(column_names(path)))


def files(path: Path) -> list[Path]:
    """The steps of a folder, or of its folder `records`, in order; or the one file."""
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return sorted([*path.glob("step_*.parquet"), *path.glob(f"{FOLDER}/step_*.parquet")])


def read(path: Path, reading: Reading) -> Dump:
    """All rows, with the configuration of the run's last start.

    Raises ReplayError where there is no step.
    """
    found = files(path)
    if not found:
        raise ReplayError(f"{path} has no {EXPECTED}")
    starts = RunRecord(found[0].parent).starts()
    first_steps = {n: start["first_step"] for n, start in enumerate(starts, 1)}
    rollouts: list[Rollout] = []
    malformed: list[Malformed] = []
    for file in found:
        try:
            step = StepRecord.open(file)
            rows = step.rows([*dict.fromkeys([*_COLUMNS, *_MARKERS])])
        except (*NO_READING, RecordError) as error:
            malformed.append(Malformed(str(file), f"no step of a record: {error}"))
            continue
        if step.superseded(first_steps):
            malformed.append(Malformed(str(file), "a later start of the run went back behind it"))
            continue
        for row in _checked(file, rows, reading):
            if isinstance(row, Rollout):
                rollouts.append(row)
            else:
                malformed.append(row)
    if not starts:
        notes = ["Settings: the defaults; the record has no file of its run."]
        return Dump("care", rollouts, malformed, notes)
    last = _algorithm(starts[-1])
    return Dump(
        "care",
        rollouts,
        malformed,
        _settings_notes(starts),
        CareConfig.from_mapping(last.get("care") or {}),
        GrpoCareConfig.from_mapping(last.get("grpo_care") or {}),
        method=str(last.get("adv_estimator", "care")),
    )


def _algorithm(start: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = start["config"].get("algorithm", {})
    return found


def _settings_notes(starts: list[dict[str, Any]]) -> list[str]:
    name = _algorithm(starts[-1]).get("adv_estimator", "care")
    settings = [_algorithm(start).get(name) or {} for start in starts]
    if any(one != settings[-1] for one in settings):
        return ["Settings: those of the run's last start; earlier ones had others."]
    return [f"Settings of {METHODS[name].title if name in METHODS else name}: the run's own."]


def _checked(
    file: Path, rows: list[dict[str, Any]], reading: Reading
) -> Iterator[Rollout | Malformed]:
    """The rows, reflections after all originals."""
    step = _Step()
    places = sorted(
        range(len(rows)), key=lambda i: rows[i]["reflected_from"] not in (None, ORIGINAL)
    )
    for place in places:
        where = f"{file}:row {place + 1}"
        try:
            row = _rollout(where, rows[place], reading)
            step.add(row)
        except UnusableError as reason:
            yield Malformed(where, str(reason))
        else:
            yield row


class _Step:
    """The usable rows of a step so far, to see that another one fits."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, int], Rollout] = {}
        self._right: set[str] = set()
        self._reflected: set[str] = set()

    def add(self, row: Rollout) -> None:
        """Raises UnusableError for a row that `care_advantages` would refuse."""
        if (row.group, row.session) in self._sessions:
            raise UnusableError(f"a second row of {row.group}, session {row.session}")
        if row.reflected_from == ORIGINAL:
            self._right |= {row.group} if row.acc == 1 else set()
        else:
            self._check_reflection(row)
            self._reflected.add(row.group)
        self._sessions[row.group, row.session] = row

    def _check_reflection(self, row: Rollout) -> None:
        source = self._sessions.get((row.group, row.reflected_from))
        if source is None or source.reflected_from != ORIGINAL or source.acc == 1:
            raise UnusableError(f"its source, session {row.reflected_from}, is no failed original")
        if row.group in self._reflected:
            raise UnusableError("a second reflection of its group")
        if row.group not in self._right:
            raise UnusableError("a reflection of an all-wrong group")


def _rollout(where: str, row: dict[str, Any], reading: Reading) -> Rollout:
    method = method_of_row(row)
    if method is None:
        raise UnusableError("it is of a method that is not installed here")
    of_care = row["role"] is not None
    needed = _NEVER_NULL | _CARES if of_care else _NEVER_NULL
    if missing := [name for name in _COLUMNS if row[name] is None and name in needed]:
        raise UnusableError(f"{', '.join(missing)} is null")
    if "answer_likelihood" in [column.name for column in method.columns]:
        told = likelihood(row["answer_likelihood"], "answer_likelihood")
    else:
        told = None
    logp = row["logp_rollout"]
    text = measured(row["response"], reading.tags, reading.prefilled)
    return Rollout(
        where=where,
        group=row["uid"],
        session=row["session"],
        acc=_accuracy(row["acc"], method.graded),
        reward=number(row["reward"], "reward"),
        length=sum(row["response_mask"]),
        think_len=_length(row["rationale"]),
        answer_len=_length(row["answer"]),
        rationale=text.rationale,
        reflected_from=row["reflected_from"],
        logp=None if logp is None else number(logp, "logp_rollout"),
        advantage=number(row["advantage"], "advantage"),
        likelihood=told,
        recorded=_recorded(row) if of_care else None,
        reasoned=text.reasoned,
    )


def _accuracy(value: Any, graded: bool) -> float:
    acc = number(value, "acc")
    if graded and not 0 <= acc <= 1:
        raise UnusableError(f"acc is {acc:g}, expected 0 to 1")
    if not graded and acc not in (0, 1):
        raise UnusableError(f"acc is {acc:g}, expected 0 or 1")
    return acc


def _recorded(row: dict[str, Any]) -> Recorded | None:
    d_cos = row["d_cos"]
    if d_cos is not None and not math.isfinite(d_cos):
        raise UnusableError(f"d_cos is {d_cos}, expected a finite number")
    if row["reflected_from"] != ORIGINAL:
        return None
    return Recorded(row["role"] == "anchor", row["role"] == "negative" or row["is_source"], d_cos)


def _length(span: list[int] | None) -> int:
    return 0 if span is None else span[1] - span[0]
