"""Strict settings: frozen dataclasses whose every field carries its range, source and reason.

A field is declared with `setting(default, rule, source, why)`. The class checks itself at
construction, so an object that exists is valid. An unknown key, a wrong type or a value out of
range is a `ValueError` that names the full key, what was found and what is allowed.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from care_verl.grammar import TAG_NAME, is_tag_name

SettingsT = TypeVar("SettingsT", bound="Settings")


@dataclass(frozen=True)
class Whole:
    """An integer not below `low`. A bool is no integer, and neither is a numeric string."""

    low: int

    @property
    def allowed(self) -> str:
        return f"an integer >= {self.low}"

    def accepts(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= self.low


@dataclass(frozen=True)
class Real:
    """A finite number in an interval written as in mathematics, such as `(0, 1]`.

    An int is accepted and stored as a float. `optional` also accepts None.
    """

    interval: str
    optional: bool = False

    @property
    def allowed(self) -> str:
        return f"a number in {self.interval}" + (" or null" if self.optional else "")

    def accepts(self, value: object) -> bool:
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = (float(bound) for bound in self.interval[1:-1].split(","))
        above = value > low if self.interval[0] == "(" else value >= low
        below = value < high if self.interval[-1] == ")" else value <= high
        return math.isfinite(value) and above and below


@dataclass(frozen=True)
class Choice:
    """One of a few words. Those of a mapping are its keys, as they are when it is asked."""

    options: Collection[str]

    @property
    def allowed(self) -> str:
        return " | ".join(self.options)

    def accepts(self, value: object) -> bool:
        return isinstance(value, str) and value in self.options


@dataclass(frozen=True)
class Flag:
    """true or false; `optional` also accepts None. 0, 1 and strings are refused."""

    optional: bool = False

    @property
    def allowed(self) -> str:
        return "true | false" + (" | null" if self.optional else "")

    def accepts(self, value: object) -> bool:
        return isinstance(value, bool) or (value is None and self.optional)


@dataclass(frozen=True)
class Text:
    """A string with something other than white space in it; `optional` also accepts None."""

    optional: bool = False

    @property
    def allowed(self) -> str:
        return "a text that is not blank" + (" or null" if self.optional else "")

    def accepts(self, value: object) -> bool:
        if value is None:
            return self.optional
        return isinstance(value, str) and bool(value.strip())


@dataclass(frozen=True)
class TagName:
    """The name of a tag, as it stands between `<` and `>`."""

    allowed: ClassVar[str] = TAG_NAME

    def accepts(self, value: object) -> bool:
        return isinstance(value, str) and is_tag_name(value)


Rule = Whole | Real | Choice | Flag | Text | TagName


def setting(default: object, rule: Rule, source: str, why: str) -> Any:
    """A validated field. `source` is the place in the paper, or "ours"; `why` is one line."""
    return field(default=default, metadata={"rule": rule, "source": source, "why": why})


def section(kind: type[Settings]) -> Any:
    """A nested group of settings, by default `kind()`."""
    return field(default_factory=kind, metadata={"section": kind})


@dataclass(frozen=True)
class Settings:
    """Base of every configuration class. `KEY` is the full dotted name of its section."""

    KEY: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for item in fields(self):
            key, value = f"{self.KEY}.{item.name}", getattr(self, item.name)
            if "section" in item.metadata:
                if not isinstance(value, item.metadata["section"]):
                    raise ValueError(_refusal(key, value, item.metadata["section"].__name__))
                continue
            rule: Rule = item.metadata["rule"]
            if not rule.accepts(value):
                raise ValueError(_refusal(key, value, rule.allowed))
            if isinstance(rule, Real) and value is not None:
                object.__setattr__(self, item.name, float(value))

    @classmethod
    def from_mapping(cls: type[SettingsT], mapping: Mapping[str, Any]) -> SettingsT:
        """Builds the settings from nested plain mappings; keys left out keep their defaults.

        Raises:
            ValueError: an unknown key (with its full name, the allowed keys and the closest
                match), a section that is no mapping, or a value that its rule refuses.
        """
        if not isinstance(mapping, Mapping):
            raise ValueError(_refusal(cls.KEY, mapping, "a mapping of settings"))
        known = {item.name: item for item in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in mapping.items():
            if name not in known:
                raise ValueError(_unknown(cls.KEY, str(name), list(known)))
            kind = known[name].metadata.get("section")
            if kind is not None and not isinstance(value, Settings):
                value = kind.from_mapping(value)
            values[name] = value
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """The settings as nested plain dicts: the inverse of `from_mapping`."""
        return {
            item.name: value.to_mapping() if isinstance(value, Settings) else value
            for item in fields(self)
            for value in [getattr(self, item.name)]
        }


def _refusal(key: str, value: object, allowed: str) -> str:
    return f"{key} = {value!r} ({type(value).__name__}) is not allowed; expected {allowed}"


def _unknown(section_key: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{section_key}.{name} is not a setting{hint}; allowed here: {', '.join(known)}"
