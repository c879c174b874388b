"""One line of a table or a figure: a label and its seeds, runs or models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

SeedT = TypeVar("SeedT")
LineT = TypeVar("LineT", bound="SeedLine[Any]")


@dataclass(frozen=True)
class SeedLine(Generic[SeedT]):
    """What has one label: the seeds of one experiment, at least one."""

    label: str
    seeds: tuple[SeedT, ...]

    @classmethod
    def by_label(cls: type[LineT], labels: Sequence[str], seeds: Sequence[Any]) -> list[LineT]:
        """Seeds of one label together, in order of first appearance; `labels` has one for each."""
        return [
            cls(label, tuple(one for one, own in zip(seeds, labels, strict=True) if own == label))
            for label in dict.fromkeys(labels)
        ]

    @property
    def name(self) -> str:
        """The label, with the number of its seeds where they are several."""
        return self.label if len(self.seeds) == 1 else f"{self.label} ({len(self.seeds)} seeds)"
