"""verl's rollout dump: `trainer.rollout_data_dir`, one file of JSON lines a step, `12.jsonl`.

Follows verl 0.9.1. Its V1 trainer (`verl/trainer/ppo/v1/trainer_base.py`, `_log_rollout_data` and
`_write_generations`) writes `input`, `output`, `gts`, `score`, `step` and `uid`, the queue's key
`GROUP_SESSION_OUTPUT`. The other trainer (`verl/trainer/ppo/ray_trainer.py`) writes no `uid` but
what the reward reports, such as `acc`, and `request_id`. A GRPO-CARE run adds `acc`,
`answer_likelihood`, `bonus` and `advantage` (`docs/grpo-care.md`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from care_verl.common.jsonl import Malformed, json_objects
from care_verl.tools.replay.columns import UnusableError, likelihood
from care_verl.tools.replay.readers.lines import (
    advantage_of,
    first_object,
    text_problem,
)
from care_verl.tools.replay.rollouts import RawRow

EXPECTED = "folder of N.jsonl, or one such file, with input, output and score"
GROUPS = (
    "Groups: rows of one step with the same group in `uid`; without `uid`, with the same input "
    "and gold."
)
_KEY = re.compile(r"(.+)_(\d+)_(\d+)")
_LIKELIHOOD = "answer_likelihood"


def fits(path: Path) -> bool:
    """Whether the first file has the keys of such a dump."""
    found = files(path)
    return bool(found) and {"input", "output", "score"} <= first_object(found[0]).keys()


def files(path: Path) -> list[Path]:
    """The files of a folder by step, or the one file."""
    if path.is_file():
        return [path] if path.suffix == ".jsonl" else []
    found = [file for file in path.glob("*.jsonl") if file.stem.isdecimal()]
    return sorted(found, key=lambda file: int(file.stem))


def rows(files: list[Path]) -> tuple[list[RawRow], list[Malformed]]:
    """All rows, and what could not be read. Of a session's outputs the last is its rollout."""
    found: list[tuple[RawRow, tuple[str, str] | None]] = []
    malformed: list[Malformed] = []
    for file in files:
        for line in json_objects(file):
            if isinstance(line, Malformed):
                malformed.append(line)
                continue
            row = _row(*line)
            if isinstance(row, Malformed):
                malformed.append(row)
            else:
                found.append((row, _session(row)))
    last = {session: place for place, (_, session) in enumerate(found) if session}
    kept = []
    for place, (row, session) in enumerate(found):
        if session is None or last[session] == place:
            kept.append(row)
        else:
            malformed.append(Malformed(row.where, "not the last output of its session"))
    return kept, malformed


def _row(where: str, record: dict[str, Any]) -> RawRow | Malformed:
    problem = text_problem(record, ("input", "output"))
    if problem is None and not isinstance(record.get("step"), int):
        problem = f"step is {record.get('step')!r}, expected an integer"
    if problem is None and not isinstance(record.get("uid", ""), str):
        problem = f"uid is a {type(record['uid']).__name__}, expected a text"
    if problem is not None:
        return Malformed(where, problem)
    try:
        told = _told(record)
    except UnusableError as reason:
        return Malformed(where, str(reason))
    return RawRow(
        where=where,
        group=_group(record),
        response=record["output"],
        values=record,
        rewards=("score",),
        **told,
    )


def _told(record: dict[str, Any]) -> dict[str, float | None]:
    """What a GRPO-CARE run says of a row."""
    if _LIKELIHOOD not in record:
        return {}
    return {
        "likelihood": likelihood(record[_LIKELIHOOD], _LIKELIHOOD),
        "advantage": advantage_of(record.get("advantage")),
    }


def _group(record: dict[str, Any]) -> str:
    if "uid" not in record:
        return f"step {record['step']}: {record['input']}\n{record.get('gts')}"
    key = _KEY.fullmatch(record["uid"])
    return f"step {record['step']}: {key[1] if key else record['uid']}"


def _session(row: RawRow) -> tuple[str, str] | None:
    """Group and session of a row whose `uid` is a key of the queue."""
    key = _KEY.fullmatch(row.values.get("uid", ""))
    return (row.group, key[2]) if key else None
