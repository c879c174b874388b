"""ms-swift's `completions.jsonl` in the run's `output_dir`, with `--log_completions true`.

Follows ms-swift 3.3.0 to 4.5.2. A line is a whole generation, a list for each column: `step`,
`prompt`, `completion`, one for each reward function, since 3.8 `advantages` and others such as
`solution` (`log` of `swift/trainers/rlhf_trainer/grpo_trainer.py`, since 4.0
`swift/rlhf_trainers/grpo_trainer.py`); with Megatron the step is `gen_step`
(`swift/megatron/trainers/rollout_mixin.py`). With Ray, since 4.3, a line is one row: `gen_step`,
`prompt`, `completion`, `reward` (`swift/ray/megatron/base_trainer.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from care_verl.common.jsonl import Malformed, json_objects
from care_verl.tools.replay.readers.lines import (
    advantage_of,
    between,
    first_object,
    text_problem,
    without_repeats,
)
from care_verl.tools.replay.rollouts import RawRow

EXPECTED = "completions.jsonl, or a folder with it, with prompt and completion"
GROUPS = "Groups: rows of one step with the same prompt and, where there is one, solution."
_FILE = "completions.jsonl"
_NO_REWARD = {"step", "gen_step", "entropy", "num_turns", "solution"}


def fits(path: Path) -> bool:
    """Whether the file has the keys of such a log."""
    found = files(path)
    return bool(found) and {"prompt", "completion"} <= first_object(found[0]).keys()


def files(path: Path) -> list[Path]:
    """The file."""
    file = path / _FILE if path.is_dir() else path
    return [file] if file.is_file() and file.suffix == ".jsonl" else []


def rows(files: list[Path]) -> tuple[list[RawRow], list[Malformed]]:
    """All rows but repeated ones, and what could not be read."""
    batches: list[list[RawRow]] = []
    places: list[str] = []
    malformed: list[Malformed] = []
    for file in files:
        for line in json_objects(file):
            if isinstance(line, Malformed):
                malformed.append(line)
                continue
            found = _line(*line)
            batches.append([row for row in found if isinstance(row, RawRow)])
            places.append(line[0])
            malformed += [row for row in found if isinstance(row, Malformed)]
    kept, repeated = without_repeats(batches, places)
    return kept, [*malformed, *repeated]


def _line(where: str, record: dict[str, Any]) -> list[RawRow | Malformed]:
    if not isinstance(record.get("completion"), list):
        return [_row(where, record, ("reward",))]
    columns = {name: value for name, value in record.items() if isinstance(value, list)}
    lengths = {name: len(value) for name, value in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        return [Malformed(where, f"columns of different lengths: {listed}")]
    rewards = _rewards(columns)
    return [
        _row(
            f"{where}[{place}]", {name: column[place] for name, column in columns.items()}, rewards
        )
        for place in range(len(columns["completion"]))
    ]


def _rewards(columns: dict[str, list[Any]]) -> tuple[str, ...]:
    """The columns with numbers between the completion and the advantages."""
    names = between(list(columns), "completion", "advantages")
    return tuple(name for name in names if name not in _NO_REWARD and _numbers(columns[name]))


def _numbers(column: list[Any]) -> bool:
    return any(isinstance(value, int | float) for value in column)


def _row(where: str, record: dict[str, Any], rewards: tuple[str, ...]) -> RawRow | Malformed:
    problem = text_problem(record, ("prompt", "completion"))
    step = record.get("step", record.get("gen_step"))
    if problem is None and not isinstance(step, int | str):
        problem = f"step is {step!r}, expected a number"
    if problem is not None:
        return Malformed(where, problem)
    return RawRow(
        where=where,
        group=f"step {step}: {record['prompt']}\n{record.get('solution', '')}",
        response=record["completion"],
        values=record,
        rewards=rewards,
        advantage=advantage_of(record.get("advantages")),
    )
