"""The page: one file with everything in it, which fetches nothing and runs its own script alone."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, BinaryIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from care_verl.methods import METHODS
from care_verl.tools.atlas.text import visible
from care_verl.tools.atlas.view import GroupView

_FOLDER = "page"
_FACETS = {
    "kind": "Group",
    "rgr": "Reflection",
    "role": "Row",
    "acc": "Verdict",
}
NAMES = {
    "mixed": "mixed",
    "mixed-skipped": "mixed, skipped",
    "rescued": "all wrong, rescued",
    "all-wrong": "all wrong, skipped",
    "all-right": "all right, skipped",
    "mixed-uneven": "mixed",
    "mixed-even": "mixed, no advantage",
    "all-wrong-uneven": "all wrong",
    "all-wrong-even": "all wrong, no advantage",
    "all-right-uneven": "all right",
    "all-right-even": "all right, no advantage",
    **{
        part: f"{words[0].lower()}{words[1:]}"
        for method in METHODS.values()
        for part, words in method.parts.items()
    },
    "none": "none due",
    "suspect": "wrong, looks right",
}
"""What the page calls a value; others by themselves."""


@dataclass(frozen=True)
class Heading:
    """What the page says of itself. `steps`: of the groups shown; `what`: how they were chosen."""

    run: str
    steps: str
    what: str
    cut: str = ""


@dataclass(frozen=True)
class Chip:
    """A filter: a value of a facet, and how many groups have it."""

    facet: str
    name: str
    count: int


def write_page(file: BinaryIO, heading: Heading, views: Sequence[GroupView]) -> None:
    """Write the page, UTF-8. All text is escaped; what would act unseen is shown by its code."""
    environment = Environment(
        loader=PackageLoader("care_verl.tools.atlas", _FOLDER),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    style, script = _own("atlas.css"), _own("atlas.js")
    stream = environment.get_template("atlas.html.j2").stream(
        heading=heading,
        views=views,
        chips=_chips(views),
        style=style,
        script=script,
        policy=_policy(style, script),
        names=NAMES,
    )
    stream.enable_buffering(200)
    stream.dump(file, encoding="utf-8")


def number(value: float | None, digits: int, sign: bool = False) -> str:
    """A number with so many decimals, a dash for none, and no sign on what rounds to zero."""
    if value is None:
        return "–"
    rounded = round(value, digits) or 0.0
    text = format(rounded, f"{'+' if sign and rounded else ''}.{digits}f")
    return text.replace("-", "−")


def _finalize(value: Any) -> Any:
    """Called on every value that the template prints, before it is escaped."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


@cache
def _own(name: str) -> Markup:
    """A file of the package, which goes into the page as it is."""
    return Markup((files("care_verl.tools.atlas") / _FOLDER / name).read_text(encoding="utf-8"))


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy: images in the page itself, this style, this script."""
    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        )
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _chips(views: Sequence[GroupView]) -> dict[str, list[Chip]]:
    """The filters by heading: values that occur, with the number of groups that have them."""
    counts: Counter[str] = Counter()
    for view in views:
        counts.update({*view.facets, *(facet for card in view.cards for facet in card.facets)})
    return {
        heading: [
            Chip(facet, NAMES.get(value, value), count)
            for facet, count in sorted(counts.items())
            for found, value in [facet.split(":", 1)]
            if found == prefix
        ]
        for prefix, heading in _FACETS.items()
    }
