"""Following a verl run through the JSON lines that its `file` logger writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class RunLog:
    """The metrics of a run, step by step, read as far as they are written."""

    path: Path
    steps: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    _offset: int = 0

    def new_steps(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Steps written since the last call. A line that is not finished yet is left for later."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                record = json.loads(line)
                entry = (int(record["step"]), record["data"])
                self.steps.append(entry)
                yield entry

    def series(self, name: str) -> list[float]:
        """A metric's values, in order of steps, where it was logged."""
        return [float(data[name]) for _, data in self.steps if name in data]

    def total(self, name: str) -> float:
        """Sum of a metric over the steps."""
        return sum(self.series(name))
