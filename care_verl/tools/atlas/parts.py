"""The parts of groups and rows in words."""

from __future__ import annotations

from care_verl.tools.atlas.groups import Group, Row, is_reflection


def kind_of(group: Group) -> str:
    """The kind of a group with what came of it."""
    if not group.has_roles:
        name = group.kind.replace("_", "-")
        return f"{name}-even" if group.skipped else f"{name}-uneven"
    if group.kind == "all_wrong":
        return "rescued" if group.rescued else "all-wrong"
    if group.kind == "all_right":
        return "all-right"
    return "mixed-skipped" if group.skipped else "mixed"


def part_of(group: Group, row: Row) -> tuple[str, str]:
    """A row's part in words, and for colours and filters."""
    if not group.has_roles:
        return _part_without_roles(group, row)
    if row["role"] == "anchor":
        return ("Pseudo-anchor", "pseudo-anchor") if group.rescued else ("Anchor", "anchor")
    if row is group.anchor:
        return "Anchor, not updated", "outside"
    if is_reflection(row):
        return ("Reflection, positive" if row["acc"] == 1 else "Reflection, failed"), row["role"]
    if row["is_source"] and row["role"] == "outside":
        return "Hard negative, repaired", "outside"
    return {"negative": "Hard negative", "outside": "Outside the update"}[row["role"]], row["role"]


def _part_without_roles(group: Group, row: Row) -> tuple[str, str]:
    if group.method is None:
        return "Of a method that is not installed", "outside"
    part = group.method.part_of(row)
    return group.method.parts[part], part


def note_on(group: Group, row: Row) -> str:
    """What else there is to say of a row's part; empty for most."""
    if not group.has_roles:
        return "" if group.method is None else group.method.note_on(row)
    if row["role"] == "anchor" and group.rescued:
        return "wrong, and the likeliest of the failures"
    if row["is_source"] and row["role"] == "outside":
        if group.skipped:
            return "repaired, and no other negative is there: nothing is learned"
        return "its reflection took its place in the update"
    if row["is_source"]:
        return "source of the reflection"
    if is_reflection(row):
        return f"made from row {row['reflected_from']}"
    return ""
