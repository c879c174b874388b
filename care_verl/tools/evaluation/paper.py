"""The paper's own numbers for a backbone (Tables 1 and 2), to stand beside ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLES = Path(__file__).with_name("paper_tables.json")


@dataclass(frozen=True)
class PaperRow:
    """A row of a table: accuracy in [0, 1] by benchmark, and the macro average.

    average: as Table 2 prints it; of Table 1's rows, which print none, the mean of the six.
    """

    table: int
    name: str
    accuracy: dict[str, float]
    average: float | None


def backbones() -> list[str]:
    """The backbones that the paper trains."""
    return list(_tables()["shapes"])


def paper_rows(backbone: str | None) -> list[PaperRow]:
    """The rows of both tables for a backbone; none for None.

    Raises ValueError for a backbone that the paper does not have.
    """
    if backbone is None:
        return []
    if backbone not in backbones():
        raise ValueError(f"backbone {backbone!r}; expected one of {', '.join(backbones())}")
    return [*_table_1(backbone), *_table_2(backbone)]


def backbone_of(path: str, folder: Path | None) -> str | None:
    """The paper's backbone that a model is: by the shape in its config.json, or by its hub id."""
    if folder is None:
        return next((name for name in backbones() if name.casefold() in path.casefold()), None)
    found = json.loads((folder / "config.json").read_text())
    text = found.get("text_config", found)
    shape = {
        "model_type": found.get("model_type"),
        "hidden_size": text.get("hidden_size"),
        "num_hidden_layers": text.get("num_hidden_layers"),
    }
    return next((name for name, own in _tables()["shapes"].items() if own == shape), None)


def _table_1(backbone: str) -> Iterator[PaperRow]:
    for row in _tables()["table1"]:
        if row["backbone"] == backbone:
            known = _shares(row["accuracy"])
            whole = len(known) == len(row["accuracy"])
            average = sum(known.values()) / len(known) if whole else None
            yield PaperRow(1, row["model"], known, average)


def _table_2(backbone: str) -> Iterator[PaperRow]:
    for row in _tables()["table2"]:
        if row["backbone"] == backbone:
            yield PaperRow(2, row["config"], _shares(row["accuracy"]), row["average"] / 100)


def _shares(percent: dict[str, float | None]) -> dict[str, float]:
    return {name: value / 100 for name, value in percent.items() if value is not None}


@cache
def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = json.loads(TABLES.read_text(encoding="utf-8"))
    return tables
