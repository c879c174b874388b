"""Writing the files of a record; each is whole or absent."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from care_verl.common.files import whole_file
from care_verl.records.files import IMAGES, step_name, steps_in
from care_verl.records.schema import FORMAT, HEADER, ROW, RUN, VERSION


def write_step(
    folder: Path,
    step: int,
    rows: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Any],
    start: int = 1,
) -> Path:
    """Write one step; `rows` have the columns of `ROW`. Metrics that are no finite number stay out.

    `start` is what `write_run` returned at the start of the run that made the step.

    Raises pyarrow.ArrowInvalid or ArrowTypeError for a value that does not fit its column.
    """
    finite = {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, Real) and math.isfinite(value)
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "step": step,
        "start": start,
        "metrics": finite,
    }
    schema = ROW.with_metadata({HEADER: json.dumps(header)})
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    path = folder / step_name(step)
    with whole_file(path) as file:
        pq.write_table(table, file, compression="zstd")
    return path


def drop_old_steps(folder: Path, newest: int, keep: int) -> None:
    """Of the steps up to `newest`, remove all but the last `keep`, at least 1.

    Later ones are of a start that a later one has gone back behind; it writes them anew.
    """
    found = sorted(step for step in steps_in(folder) if step <= newest)
    for step in found[:-keep]:
        (folder / step_name(step)).unlink(missing_ok=True)


def write_run(folder: Path, record: Mapping[str, Any]) -> int:
    """Write what is known at a start of the run, as the next `run_<n>.parquet`; returns n."""
    number = 1 + len(list(folder.glob("run_*.parquet")))
    with whole_file(folder / f"run_{number:03d}.parquet") as file:
        pq.write_table(pa.Table.from_pylist([dict(record)], schema=RUN), file)
    return number


def store_image(folder: Path, name: str, data: Callable[[], bytes]) -> str:
    """Keep an image's file under a name that tells its content; returns the name.

    `data` makes the file's bytes, and is called only where the file is not there yet.
    """
    path = folder / IMAGES / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(data())
    return name
