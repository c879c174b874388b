"""What the page shows of a group, worked out before any HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from care_verl.methods import Number
from care_verl.tools.atlas.difference import Difference, Range, difference
from care_verl.tools.atlas.groups import Group, Row
from care_verl.tools.atlas.parts import kind_of, note_on, part_of
from care_verl.tools.atlas.pictures import Picture
from care_verl.tools.atlas.segments import Segment, region_sums, segments
from care_verl.tools.atlas.suspicion import Suspicion, suspicion
from care_verl.tools.atlas.tokens import Token, tokens_of

PictureOf = Callable[[str], Picture]


@dataclass(frozen=True)
class Card:
    """One row.

    label: its part, in words. role: for colour and filter. note: what else there is to say.
    share: |A| over the group's largest, signed, in [-1, 1]. credit: sum of a_t by region.
    numbers: what its method shows of a row without a role.
    marked: whether its marks name rows that it is compared with, as the anchor's do.
    """

    row: Row
    label: str
    role: str
    right: bool
    segments: list[Segment]
    note: str = ""
    share: float = 0.0
    credit: Mapping[str, float] = field(default_factory=dict)
    suspicion: Suspicion | None = None
    decoded: int = 0
    numbers: tuple[Number, ...] = ()
    marked: bool = False

    @property
    def session(self) -> int:
        return int(self.row["session"])

    @property
    def facets(self) -> list[str]:
        """What the row may be filtered by."""
        suspect = ["acc:suspect"] if self.suspicion else []
        return [f"role:{self.role}", f"acc:{'right' if self.right else 'wrong'}", *suspect]


@dataclass(frozen=True)
class Repair:
    """A reflection: the failed row, the cue, and what the model wrote then."""

    before: Card
    cue: str
    after: Card
    decoded: list[Segment]
    outcome: str


@dataclass(frozen=True)
class GroupView:
    """One group.

    kind: of the group, with what came of it, for filters.
    skips: why it went without its reflection.
    """

    group: Group
    kind: str
    title: str
    pictures: list[Picture]
    anchor: Card | None
    compared: list[Card]
    others: list[Card]
    repairs: list[Repair]
    skips: list[str]

    @property
    def cards(self) -> list[Card]:
        """All rows, as they are shown."""
        anchor = [] if self.anchor is None else [self.anchor]
        return [*anchor, *self.compared, *self.others]

    @property
    def by_session(self) -> list[Card]:
        return sorted(self.cards, key=lambda card: card.session)

    @property
    def facets(self) -> list[str]:
        """What the group may be filtered by."""
        return [f"kind:{self.kind}", *([f"rgr:{self.group.rgr}"] if self.group.has_roles else [])]


def view_of(group: Group, picture_of: PictureOf) -> GroupView:
    """Everything that the page shows of a group; `picture_of` finds an image by its name."""
    tokens = {row["session"]: tokens_of(row) for row in group.rows}
    scale = _Scale.of(group, tokens)
    anchor = group.anchor
    differences = _differences(group, tokens)
    cards = {
        row["session"]: _card(group, row, tokens[row["session"]], differences, scale)
        for row in group.rows
    }
    return GroupView(
        group=group,
        kind=kind_of(group),
        title=(group.prompt["question"] or "").replace("<image>", "").strip() or group.uid,
        pictures=[picture_of(name) for name in group.prompt["images"] or []],
        anchor=None if anchor is None else cards[anchor["session"]],
        compared=[cards[row["session"]] for row in group.compared],
        others=[cards[row["session"]] for row in group.others],
        repairs=[_repair(row, cards) for row in group.reflections],
        skips=[row["rgr_skipped"] for row in group.rows if row["rgr_skipped"]],
    )


@dataclass(frozen=True)
class _Scale:
    """The largest |a_t| and the largest |A| of a group."""

    credit: float
    advantage: float

    @classmethod
    def of(cls, group: Group, tokens: Mapping[int, Sequence[Token]]) -> _Scale:
        credit = (abs(token.credit or 0.0) for row in tokens.values() for token in row)
        advantage = (abs(row["advantage"]) for row in group.rows)
        return cls(max(credit, default=0.0), max(advantage, default=0.0))


def _differences(group: Group, tokens: Mapping[int, Sequence[Token]]) -> dict[int, Difference]:
    """Every other row against the anchor, by session."""
    if group.anchor is None:
        return {}
    own = group.anchor["session"]
    return {
        session: difference(row, tokens[own]) for session, row in tokens.items() if session != own
    }


def _card(
    group: Group,
    row: Row,
    tokens: Sequence[Token],
    differences: Mapping[int, Difference],
    scale: _Scale,
) -> Card:
    own = differences.get(row["session"])
    is_anchor = row is group.anchor
    ranges: dict[str, Sequence[Range]] = {}
    if is_anchor:
        ranges = {str(session): one.missing for session, one in differences.items()}
    elif own is not None:
        ranges = {"added": own.added, "replaced": own.replaced}
    label, role = part_of(group, row)
    note = note_on(group, row)
    if own is not None and not own.complete:
        note = f"{note}; " * bool(note) + "too long to be compared with the anchor"
    return Card(
        row=row,
        label=label,
        role=role,
        right=row["acc"] == 1,
        segments=segments(tokens, ranges, scale.credit),
        note=note,
        share=row["advantage"] / scale.advantage if scale.advantage else 0.0,
        credit=region_sums(tokens),
        suspicion=suspicion(row, group.prompt["gold"], row["data_source"] or ""),
        decoded=sum(row["response_mask"]),
        numbers=group.numbers,
        marked=is_anchor,
    )


def _repair(row: Row, cards: Mapping[int, Card]) -> Repair:
    after = cards[row["session"]]
    return Repair(
        before=cards[row["reflected_from"]],
        cue=(row["rgr_cue"] or "").strip(),
        after=after,
        decoded=_stripped([one for one in after.segments if not one.given]),
        outcome=row["rgr_outcome"] or ("succeeded" if after.right else "failed"),
    )


def _stripped(parts: list[Segment]) -> list[Segment]:
    """Without the white space that parts the text from the cue."""
    first = next((place for place, part in enumerate(parts) if part.text.strip()), len(parts))
    return [
        replace(part, text=part.text.lstrip()) if place == 0 else part
        for place, part in enumerate(parts[first:])
    ]
