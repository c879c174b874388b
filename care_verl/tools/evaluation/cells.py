"""One model on one benchmark: what is kept of it, whole or not at all.

A cell's folder holds `cell.json` (what it was made with), `answers.jsonl` and LMMs-Eval's own
output. A later call with the same settings takes it as it is; so an interrupted evaluation goes on
with the first cell that is not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from care_verl.common.errors import CareVerlError
from care_verl.common.files import all_or_nothing, write_text
from care_verl.tools.evaluation.answers import Answer, load_answers, write_answers
from care_verl.tools.evaluation.benchmarks import Benchmark

CELL = "cell.json"
ANSWERS = "answers.jsonl"
RAW = "lmms_eval"


class OtherSettingsError(CareVerlError):
    """A cell that was made with other settings than are asked for."""


@dataclass(frozen=True)
class Cell:
    """A model on a benchmark. `made_with` is all that its answers depend on."""

    benchmark: Benchmark
    folder: Path
    made_with: dict[str, Any]

    def answers(self) -> list[Answer] | None:
        """The answers of an earlier call; None where there are none.

        Raises OtherSettingsError when they were made with other settings.
        """
        record = self.folder / CELL
        if not record.exists():
            return None
        found = json.loads(record.read_text(encoding="utf-8"))
        if found != self.made_with:
            raise OtherSettingsError(
                f"{self.folder} was made with {_difference(found, self.made_with)}; "
                "name another --out, or remove this folder"
            )
        return load_answers(self.folder / ANSWERS)

    def make(self, evaluate: Callable[[Path], list[Answer]]) -> list[Answer]:
        """Have `evaluate` answer into an empty folder; keep what it did if it did not fail."""
        with all_or_nothing(self.folder) as unfinished:
            raw = unfinished / RAW
            raw.mkdir()
            answers = evaluate(raw)
            write_answers(answers, unfinished / ANSWERS)
            write_text(unfinished / CELL, json.dumps(self.made_with, indent=1))
        return answers


def cell_folder(out: Path, label: str, source: str, task: str) -> Path:
    """Where a cell lies: a name that people recognise, and what tells equal names apart."""
    digest = sha256(source.encode()).hexdigest()[:8]
    return out / "cells" / f"{slug(label)}-{digest}" / task


def slug(label: str) -> str:
    """A label as a file name."""
    return re.sub(r"[^\w.+-]+", "_", label).strip("_.")[:60] or "model"


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    keys = [key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)]
    return "; ".join(
        f"{key} = {found.get(key)!r}, asked for was {wanted.get(key)!r}" for key in sorted(keys)
    )
