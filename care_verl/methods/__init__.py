"""The methods that the plugin brings, and those of other packages: one table, asked by everything.

A package adds its own by an entry point of the group `care_verl.methods` that names a `Method`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def _installed() -> Iterator[Method]:
    for point in entry_points(group=GROUP):
        method = point.load()
        if not isinstance(method, Method):
            raise TypeError(
                f"the entry point {point.name} = {point.value} of {GROUP} names {method!r}; "
                "expected a care_verl.methods.Method"
            )
        yield method


def _by_name(methods: Iterator[Method]) -> Mapping[str, Method]:
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


METHODS: Mapping[str, Method] = _by_name(iter((CARE, GRPO_CARE, *_installed())))
"""By `algorithm.adv_estimator`."""


def method_of_row(row: Mapping[str, Any]) -> Method | None:
    """The method of a recorded row; None where none that is installed knows it."""
    return next((m for m in METHODS.values() if row.get(m.marker) is not None), None)
