"""TRL's completions: `OUTPUT_DIR/completions/completions_00012.parquet`, with `log_completions`.

Follows `trl/trainer/grpo_trainer.py`, `GRPOTrainer.log`, of TRL 0.28.0 to 1.9.0: `step`, `prompt`,
`completion`, one column of floats for each reward function, since 1.0 columns of the user's, then
`advantage`. Before 0.28 the same table went to W&B only, its step as a text and, before 0.18,
without `advantage`; exported to Parquet it is read too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.common.jsonl import Malformed
from care_verl.tools.replay.readers.lines import (
    NO_READING,
    advantage_of,
    between,
    column_names,
    text_problem,
    without_repeats,
)
from care_verl.tools.replay.rollouts import RawRow

EXPECTED = "folder of completions_N.parquet, or one such file, with prompt and completion"
GROUPS = "Groups: rows of one step with the same prompt."
_NEEDED = ("step", "prompt", "completion")


def fits(path: Path) -> bool:
    """Whether the first file has the columns of such a table."""
    found = files(path)
    return bool(found) and set(_NEEDED) <= set(column_names(found[0]))


def files(path: Path) -> list[Path]:
    """The files of a folder, or of its folder `completions`, by step; or the one file."""
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    found = [*path.glob("completions_*.parquet"), *path.glob("completions/completions_*.parquet")]
    return sorted(found, key=lambda file: (len(file.stem), file.stem))


def rows(files: list[Path]) -> tuple[list[RawRow], list[Malformed]]:
    """All rows but repeated ones, and what could not be read."""
    batches: list[list[RawRow]] = []
    places: list[str] = []
    malformed: list[Malformed] = []
    for file in files:
        try:
            table = pq.read_table(file)
        except NO_READING as error:
            malformed.append(Malformed(str(file), f"no Parquet: {error}"))
            continue
        if missing := [name for name in _NEEDED if name not in table.column_names]:
            malformed.append(Malformed(str(file), f"no column {', '.join(missing)}"))
            continue
        found = [
            _row(f"{file}:row {number}", record, _rewards(table.schema))
            for number, record in enumerate(table.to_pylist(), start=1)
        ]
        batches.append([row for row in found if isinstance(row, RawRow)])
        places.append(str(file))
        malformed += [row for row in found if isinstance(row, Malformed)]
    kept, repeated = without_repeats(batches, places)
    return kept, [*malformed, *repeated]


def _rewards(schema: pa.Schema) -> tuple[str, ...]:
    """The columns of floats between the completion and the advantage."""
    names = between(schema.names, "completion", "advantage")
    return tuple(name for name in names if pa.types.is_floating(schema.field(name).type))


def _row(where: str, record: dict[str, Any], rewards: tuple[str, ...]) -> RawRow | Malformed:
    problem = text_problem(record, ("prompt", "completion"))
    if problem is not None:
        return Malformed(where, problem)
    if record["step"] is None:
        return Malformed(where, "step is null")
    return RawRow(
        where=where,
        group=f"step {record['step']}: {record['prompt']}",
        response=record["completion"],
        values=record,
        rewards=rewards,
        advantage=advantage_of(record.get("advantage")),
    )
