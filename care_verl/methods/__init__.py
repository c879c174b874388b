"""The methods that the plugin brings, and those of other packages: one table, asked by everything.

A package adds its own by an entry point of the group `care_verl.methods` that names a `Method`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any

from care_verl.methods.care import CARE
from care_verl.methods.grpo_care import GRPO_CARE
from care_verl.methods.method import Column, Curve, Figure, Method, Number, Row, Sample

__all__ = [
    "METHODS",
    "Column",
    "Curve",
    "Figure",
    "Method",
    "Number",
    "Row",
    "Sample",
    "method_of_row",
]

GROUP = "care_verl.methods"


class Table(Mapping[str, Method]):
    """Methods by name. Other packages are asked for theirs when the table is first looked into:
    they import this module to make them, and would else be asked in the middle of that.
    """

    def __getitem__(self, name: str) -> Method:
        return self._methods[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._methods)

    def __len__(self) -> int:
        return len(self._methods)

    @cached_property
    def _methods(self) -> Mapping[str, Method]:
        return by_name((CARE, GRPO_CARE, *_installed()))


METHODS: Mapping[str, Method] = Table()
"""By `algorithm.adv_estimator`."""


def method_of_row(row: Mapping[str, Any]) -> Method | None:
    """The method of a recorded row; None where none that is installed knows it."""
    return next((m for m in METHODS.values() if row.get(m.marker) is not None), None)


def by_name(methods: Iterable[Method]) -> Mapping[str, Method]:
    """The methods by their names. Raises ValueError where two share a name or a column."""
    table: dict[str, Method] = {}
    for method in methods:
        if method.name in table:
            raise ValueError(
                f"two methods are called {method.name!r}: {table[method.name].wiring} and "
                f"{method.wiring}; remove one of the packages"
            )
        columns = {c.name for other in table.values() for c in other.columns}
        if twice := sorted(columns & {c.name for c in method.columns}):
            raise ValueError(
                f"method {method.name!r} has columns that another method has: {', '.join(twice)}; "
                "give them names of its own"
            )
        table[method.name] = method
    return table


def _installed() -> Iterator[Method]:
    for point in entry_points(group=GROUP):
        method = point.load()
        if not isinstance(method, Method):
            raise TypeError(
                f"the entry point {point.name} = {point.value} of {GROUP} names {method!r}; "
                "expected a care_verl.methods.Method"
            )
        yield method
