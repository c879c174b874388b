"""Readers of what runs write, one module each, and choosing among them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from care_verl.common.jsonl import Malformed
from care_verl.tools.replay.columns import rollouts_of
from care_verl.tools.replay.readers import care, swift, trl, verl
from care_verl.tools.replay.rollouts import Dump, RawRow, Reading, ReplayError, Rollout


class Reader(Protocol):
    """What the module of another framework's format has."""

    EXPECTED: str
    GROUPS: str

    def fits(self, path: Path) -> bool: ...
    def files(self, path: Path) -> list[Path]: ...
    def rows(self, files: list[Path]) -> tuple[list[RawRow], list[Malformed]]: ...


FOREIGN: dict[str, Reader] = {"verl": verl, "trl": trl, "swift": swift}
FORMATS = ("care", *FOREIGN)


def read(path: Path, name: str, reading: Reading) -> Dump:
    """Read a file or folder; `name` is one of `FORMATS`, or `auto`.

    Raises ReplayError for a path that holds nothing of the kind, and as `rollouts_of` does.
    """
    name = detected(path) if name == "auto" else name
    if name == "care":
        dump = care.read(path, reading)
        rollouts, alone = _in_groups(dump.rollouts)
        return replace(dump, rollouts=rollouts, malformed=[*dump.malformed, *alone])
    reader = FOREIGN[name]
    files = reader.files(path)
    if not files:
        raise ReplayError(f"{path} has no {reader.EXPECTED}")
    raw, unread = reader.rows(files)
    found, unusable, notes = rollouts_of(raw, reading)
    rollouts, alone = _in_groups(found)
    return Dump(name, rollouts, [*unread, *unusable, *alone], [*notes, reader.GROUPS])


def detected(path: Path) -> str:
    """The format of a file or folder, by names and keys. Raises ReplayError where none fits."""
    fits = {"care": care.fits} | {name: reader.fits for name, reader in FOREIGN.items()}
    fitting = [name for name in FORMATS if fits[name](path)]
    if len(fitting) == 1:
        return fitting[0]
    expected = {"care": care.EXPECTED} | {n: reader.EXPECTED for n, reader in FOREIGN.items()}
    known = "; ".join(f"{name}: {text}" for name, text in expected.items())
    found = f"fits {' and '.join(fitting)}" if fitting else "is of no known format"
    raise ReplayError(f"{path} {found}; name one with --format. Known are {known}")


def _in_groups(rollouts: list[Rollout]) -> tuple[list[Rollout], list[Malformed]]:
    """Rows of a group side by side; a group of one has nothing to be compared with."""
    sizes = Counter(row.group for row in rollouts if row.reflected_from < 0)
    groups: dict[str, list[Rollout]] = {}
    alone = []
    for row in rollouts:
        if sizes[row.group] > 1:
            groups.setdefault(row.group, []).append(row)
        else:
            alone.append(Malformed(row.where, "the only usable rollout of its group"))
    return [row for group in groups.values() for row in group], alone
