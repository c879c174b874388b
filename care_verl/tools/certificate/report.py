"""The certificate as tables on the console, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from care_verl.common.files import write_text
from care_verl.common.tables import markdown as table_lines
from care_verl.tools.certificate.certify import Certificate
from care_verl.tools.certificate.comparison import (
    BOUNDS,
    FLOAT32,
    GROUPS,
    QUANTITIES,
    Distance,
    allowed,
    beyond,
)
from care_verl.tools.certificate.job import DISPLACED_POINT, POINTS, ROLLOUT_POINT

HEADER = [
    "cut",
    "ranks",
    "rows",
    *(f"{group}: {quantity}" for group in GROUPS for quantity in QUANTITIES),
]
SHORT_HEADER = ["cut", "ranks", "rows", *GROUPS]
FLOOR_NAME = "unsharded, in float32"
BOUND_NAME = "allowed"
BREACH = "✗"


def rows_of(certificate: Certificate, point: str, short: bool) -> Iterator[list[str]]:
    """The body of one point's table: the float32 floor, every cut, the bounds.

    `short` has the largest difference of each comparison, else there is every quantity.
    """
    floor = certificate.floors[point]
    cells = _largest_cells if short else _all_cells
    yield [
        FLOOR_NAME,
        "–",
        str(certificate.chosen["rows of S*"]),
        *cells({FLOAT32: floor}, floor),
    ]
    for item in certificate.measurements:
        if item.point == point:
            rows = "+".join(map(str, item.rows))
            yield [item.cut, str(item.ranks), rows, *cells(item.distances, floor)]
    if not short:
        bounds = [allowed(group, q, floor) for group in GROUPS for q in QUANTITIES]
        yield [BOUND_NAME, "", "", *(f"{bound:.1e}" for bound in bounds)]


def _all_cells(distances: Mapping[str, Distance], floor: Distance) -> Iterator[str]:
    for group in GROUPS:
        for quantity in QUANTITIES:
            if group not in distances:
                yield "–"
                continue
            value = getattr(distances[group], quantity)
            mark = "" if value <= allowed(group, quantity, floor) else f" {BREACH}"
            yield f"{value:.1e}{mark}"


def _largest_cells(distances: Mapping[str, Distance], floor: Distance) -> Iterator[str]:
    for group in GROUPS:
        if group not in distances:
            yield "–"
            continue
        mark = f" {BREACH}" if beyond(group, distances[group], floor) else ""
        yield f"{distances[group].largest:.1e}{mark}"


def title(certificate: Certificate, point: str) -> str:
    """What the policy of one point is, and what its tokens go through."""
    facts = certificate.facts[point]
    (positive, negative), (plus, minus) = facts["clipped"], facts["tokens"]
    where = {
        ROLLOUT_POINT: f"Policy of the rollouts: |log ρ| ≤ {facts['largest_log_ratio']:.1e}",
        DISPLACED_POINT: f"Displaced policy (scale {certificate.scale:g}): "
        f"|log ρ| ≤ {facts['largest_log_ratio']:.2f}",
    }[point]
    return (
        f"{where}; clipped are {positive} of {plus} positive and {negative} of {minus} negative "
        f"tokens; KL {facts['kl']:.1e}; loss {facts['loss']:.4f}"
    )


def tables(certificate: Certificate) -> Iterator[Table]:
    """One table a point, for the console: the largest of the relative differences."""
    for point in POINTS:
        table = Table(title=title(certificate, point), title_justify="left", box=SIMPLE_HEAD)
        for place, name in enumerate(SHORT_HEADER):
            head = name.replace(" ", "\n")
            table.add_column(head, justify="left" if place == 0 else "right", no_wrap=True)
        for cells in rows_of(certificate, point, short=True):
            marked = any(cell.endswith(BREACH) for cell in cells)
            floor = cells[0] == FLOOR_NAME
            table.add_row(*cells, style="red" if marked else None, end_section=floor)
        yield table


def summary(certificate: Certificate) -> list[str]:
    """The lines under the tables."""
    lines = [
        f"{group}: largest difference {_largest(certificate, group)}"
        for group in _measured(certificate)
    ]
    lines += [f"note: {note}" for note in certificate.notes]
    lines += [f"BREACH: {breach}" for breach in certificate.breaches]
    cuts = len({(item.cut, item.ranks) for item in certificate.measurements})
    verdict = "does NOT hold" if certificate.breaches else "holds"
    return [*lines, f"The certificate {verdict}: {cuts} cuts at {len(POINTS)} policies."]


def _measured(certificate: Certificate) -> list[str]:
    found = {group for item in certificate.measurements for group in item.distances}
    return [group for group in GROUPS if group in found]


def _largest(certificate: Certificate, group: str) -> str:
    measured = [item for item in certificate.measurements if group in item.distances]
    item = max(measured, key=lambda item: item.distances[group].largest)
    found = item.distances[group]
    where = f"{item.cut}, {item.ranks} rank(s), {item.point}; {found.worst}"
    return f"{found.largest:.1e} ({where})"


def header(certificate: Certificate) -> list[tuple[str, str]]:
    """What the certificate was made of, by name."""
    return [
        ("capture", f"step {certificate.step}, {certificate.capture}"),
        ("model", str(certificate.model)),
        ("in the step", _listed(certificate.captured)),
        ("taken", _listed(certificate.chosen)),
        ("versions", ", ".join(f"{name} {v}" for name, v in certificate.versions.items())),
    ]


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def markdown(certificate: Certificate) -> str:
    """The whole certificate as a page."""
    lines = ["# Invariance certificate", ""]
    lines += [f"- **{name}**: {value}" for name, value in header(certificate)]
    for point in POINTS:
        lines += ["", f"## {title(certificate, point)}", ""]
        lines += table_lines(HEADER, rows_of(certificate, point, short=False))
    allowed = (
        (
            group,
            quantity,
            f"{bound.value:.0e}{f', or {bound.floors:g} floors' if bound.floors else ''}",
            bound.reason,
        )
        for (group, quantity), bound in BOUNDS.items()
    )
    lines += ["", "## Bounds", ""]
    lines += table_lines(("compared", "quantity", "allowed", "why"), allowed)
    return "\n".join([*lines, "", *(f"- {line}" for line in summary(certificate)), ""])


def as_json(certificate: Certificate) -> dict[str, Any]:
    """The certificate as plain values."""
    plain = asdict(certificate)
    plain |= {"capture": str(certificate.capture), "model": str(certificate.model)}
    plain["bounds"] = [
        {"compared": group, "quantity": quantity, **asdict(bound)}
        for (group, quantity), bound in BOUNDS.items()
    ]
    plain["breaches"] = [asdict(breach) for breach in certificate.breaches]
    return plain


def write_report(certificate: Certificate, out: Path) -> list[Path]:
    """Write `certificate.md` and `certificate.json` into `out`; their paths."""
    out.mkdir(parents=True, exist_ok=True)
    page, data = out / "certificate.md", out / "certificate.json"
    write_text(page, markdown(certificate))
    write_text(data, json.dumps(as_json(certificate), indent=1) + "\n")
    return [page, data]
