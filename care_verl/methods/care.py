"""CARE (arXiv 2512.19554) as the tools see it."""

from __future__ import annotations

from collections.abc import Sequence

from care_verl.methods.method import Column, Method, Row, Sample


def _role_of(row: Row) -> str:
    if row["reflected_from"] >= 0:
        return "reflection"
    # A successful reflection takes its source's place.
    replaced = row["is_source"] and row["role"] == "outside"
    return "source" if replaced else str(row["role"])


def _sample(group: Sequence[Row]) -> Sample | None:
    """A right answer beside the wrong one that thinks most alike (`contrast`), a failure and its
    successful reflection (`repair`), an all-wrong group that was trained on (`rescue`), or a group
    without a failure (`all right`).
    """
    anchor = next((row for row in group if row["role"] == "anchor"), None)
    if group[0]["kind"] == "all_right":
        return _sampled("all right", min(group, key=lambda row: len(row["response_ids"])))
    if anchor is None:
        return None
    repaired = next((row for row in group if row["role"] == "positive"), None)
    if repaired is not None:
        source = [row for row in group if row["session"] == repaired["reflected_from"]]
        return _sampled("repair", anchor, *source, repaired)
    negatives = [row for row in group if row["role"] == "negative" and row["reflected_from"] < 0]
    if not negatives:
        return None
    nearest = min(negatives, key=lambda row: row["d_cos"])
    return _sampled("rescue" if group[0]["kind"] == "all_wrong" else "contrast", anchor, nearest)


def _sampled(shows: str, *rows: Row) -> Sample:
    """Its distance is the smallest one of a failure to the anchor; 0 without one."""
    distances = (row["d_cos"] for row in rows if row["role"] != "anchor")
    known = [distance for distance in distances if distance is not None]
    return Sample(shows, rows, min(known, default=0.0))


CARE = Method(
    name="care",
    title="CARE",
    wiring="care_verl.training.care.wiring",
    marker="role",
    label=("K",),
    role_of=_role_of,
    sample=_sample,
    shows=("contrast", "repair", "rescue", "all right"),
    sample_column=("d_cos", "d_cos"),
    columns=(
        Column(
            "role",
            "string",
            "in the group's update: anchor (the pseudo-anchor in an all-wrong group), "
            "negative, positive (a successful reflection), outside",
        ),
        Column("is_source", "bool", "whether the group's reflection was made from this row"),
        Column("k_prime", "int32", "K', hard negatives of the group before any reflection"),
        Column("k_s", "int32", "K_S, negatives of the group's update; 0 where it is skipped"),
        Column(
            "d_cos",
            "float32",
            "cosine distance to the anchor in rationale space; null where there is none",
        ),
        Column(
            "rank",
            "int32",
            "place among the group's failed originals by d_cos, from 0, a pseudo-anchor included; "
            "null for others",
        ),
        Column("advantage_raw", "float32", "A_raw (Eq. 7); 0 outside the update"),
        Column(
            "rgr_prefix_tokens",
            "int32",
            "tokens given to a reflection: opening tag, failed rationale, cue",
        ),
        Column("rgr_cue", "string", "the cue's text; null where the mode has none"),
        Column(
            "rgr_outcome",
            "string",
            "of a reflection: succeeded or failed; skipped on a source without one",
        ),
        Column(
            "rgr_skipped", "string", "why a group went without its reflection; on the source's row"
        ),
    ),
)
