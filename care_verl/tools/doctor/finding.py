"""What the doctor returns: one finding for each thing looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum


class Level(str, Enum):
    """How bad it is: an error would end the run or change what it does in silence."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    check: the concern, as the table groups by it. found: what was found, and what was expected.
    change: what to do about it; empty where nothing has to be done.
    """

    level: Level
    check: str
    found: str
    change: str = ""

    def __post_init__(self) -> None:
        if self.level is not Level.OK and not self.change:
            raise ValueError(f"finding {self.found!r} is no success and says not what to change")

    def to_mapping(self) -> dict[str, str]:
        """Plain values, for JSON."""
        return {**asdict(self), "level": self.level.value}

    @classmethod
    def from_mapping(cls, mapping: dict[str, str]) -> Finding:
        """The inverse of `to_mapping`."""
        return cls(**{**mapping, "level": Level(mapping["level"])})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Check:
    """Makes findings of one concern."""

    name: str

    def ok(self, found: str) -> Finding:
        """All is well."""
        return Finding(Level.OK, self.name, found)

    def warning(self, found: str, change: str) -> Finding:
        """The run can start, but not as one would expect."""
        return Finding(Level.WARNING, self.name, found, change)

    def error(self, found: str, change: str) -> Finding:
        """The run would end, or do something else than asked."""
        return Finding(Level.ERROR, self.name, found, change)

    def unless(self, problems: list[Finding], found: str) -> list[Finding]:
        """The problems, or else that all is well."""
        return problems or [self.ok(found)]
