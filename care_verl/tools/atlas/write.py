"""From a record to a page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from care_verl.common.errors import CareVerlError
from care_verl.common.files import whole_file
from care_verl.records.files import FOLDER, RunRecord
from care_verl.tools.atlas.groups import Group
from care_verl.tools.atlas.html import Heading, write_page
from care_verl.tools.atlas.pictures import picture
from care_verl.tools.atlas.view import view_of
from care_verl.tools.atlas.wanted_groups import Choice, Wanted, choose

PAGE = "atlas.html"


class NothingFoundError(CareVerlError, LookupError):
    """No group is as it was wanted; the message has the counts of what there is."""


@dataclass(frozen=True)
class Written:
    """The page, how many groups it has, and how many would fit."""

    path: Path
    shown: int
    found: int


def write_atlas(run: Path, wanted: Wanted, out: Path | None = None) -> Written:
    """Write the wanted groups of a run's record as a page, `atlas.html` beside it by default.

    Raises:
        RecordError: there is no record, or none of the step.
        NothingFoundError: no group fits.
    """
    record = RunRecord.find(run)
    choice = choose(record, wanted)
    if not choice.groups:
        raise NothingFoundError(_nothing(wanted, choice))
    path = out or _home(record) / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_groups(record, choice.groups, _heading(record, wanted, choice), path)
    return Written(path, len(choice.groups), choice.found)


def write_groups(record: RunRecord, groups: list[Group], heading: Heading, path: Path) -> None:
    """Write these groups, in this order."""
    picture_of = cache(partial(picture, record))
    views = [view_of(group, picture_of) for group in groups]
    with whole_file(path) as file:
        write_page(file, heading, views)


def _home(record: RunRecord) -> Path:
    """The run's folder, or the record's own where it stands alone."""
    return record.folder.parent if record.folder.name == FOLDER else record.folder


def name_of(record: RunRecord) -> str:
    """What the page calls the run: the end of its path."""
    return "/".join(_home(record).resolve().parts[-2:])


def _heading(record: RunRecord, wanted: Wanted, choice: Choice) -> Heading:
    cut = ""
    if choice.found > len(choice.groups):
        which = "the worst" if wanted.worst_false_negative else "the first"
        cut = f"{which} {len(choice.groups)} of {choice.found} that fit; see --limit"
    return Heading(
        run=name_of(record),
        steps=_range({group.step for group in choice.groups}),
        what=wanted.words or "all groups of the step",
        cut=cut,
    )


def _range(steps: set[int]) -> str:
    first, last = min(steps), max(steps)
    return f"step {first}" if first == last else f"steps {first}–{last}"


def _nothing(wanted: Wanted, choice: Choice) -> str:
    seen = choice.seen
    groups = sum(seen[kind] for kind in ("mixed", "all_wrong", "all_right"))
    return (
        f"No group fits ({wanted.words or 'any'}) in {_range(set(choice.steps))}. Groups there: "
        f"{groups}, of which {seen['mixed']} mixed, {seen['all_wrong']} all wrong "
        f"({seen['rescued']} rescued), {seen['all_right']} all right; {seen['repaired']} repaired "
        "by reflection"
    )
