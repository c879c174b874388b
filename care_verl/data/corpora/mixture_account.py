"""What became of a mixture's rows, counted and listed for its report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from care_verl.data.corpora.leakage import EvaluationFingerprint, Match
from care_verl.data.corpora.mixture_report import (
    LEAKED,
    PAPER_ROWS,
    REASONS,
    EvaluationCounts,
    MixtureReport,
    SourceCounts,
)
from care_verl.data.corpora.near_duplicates import Duplicate, Duplicates, LikePair
from care_verl.data.corpora.report import versions
from care_verl.data.corpora.row_fingerprints import RowFingerprint


def mixture_report(
    rows: Sequence[RowFingerprint],
    duplicates: Duplicates,
    matches: Sequence[Match],
    test: Sequence[int],
    evaluation: Mapping[Path, Sequence[EvaluationFingerprint]],
    settings: Mapping[str, Any],
) -> MixtureReport:
    """The account of `rows`.

    test: numbers of the rows that are held out. evaluation: the evaluation files' rows, by file.
    settings: for the reader, as JSON values.
    """
    leaks = {match.row: match for match in matches if match.asked}
    reasons: dict[int, str] = {number: found.kind for number, found in duplicates.dropped.items()}
    reasons |= dict.fromkeys(leaks, LEAKED)
    held = set(test)
    fates = Counter(
        (row.source, reasons.get(n, "test" if n in held else "train")) for n, row in enumerate(rows)
    )
    dropped = [(n, _duplicate(rows, found)) for n, found in duplicates.dropped.items()] + [
        (n, _match(rows, match)) for n, match in leaks.items()
    ]
    return MixtureReport(
        settings=settings,
        sources=_sources(fates, [row.source for row in rows]),
        evaluation=[
            _evaluation_counts(path, len(entries), matches) for path, entries in evaluation.items()
        ],
        alike_with_other_gold=[_pair(rows, pair) for pair in duplicates.like],
        shared_images=[_match(rows, match) for match in matches if not match.asked],
        versions=versions("math-verify", "numpy", "pillow", "pyarrow"),
        dropped=[entry for _, entry in sorted(dropped, key=lambda item: item[0])],
    )


def _sources(
    fates: Mapping[tuple[str, str], int], in_order: Sequence[str]
) -> dict[str, SourceCounts]:
    """Counts by source, in the order of the rows."""
    rows = Counter(in_order)
    return {
        source: SourceCounts(
            rows=rows[source],
            dropped={reason: fates[source, reason] for reason in REASONS},
            train=fates[source, "train"],
            test=fates[source, "test"],
            paper=PAPER_ROWS.get(source),
        )
        for source in dict.fromkeys(in_order)
    }


def _evaluation_counts(path: Path, rows: int, matches: Sequence[Match]) -> EvaluationCounts:
    own = [match.asked for match in matches if match.evaluation.file == path]
    return EvaluationCounts(str(path), rows, dropped=sum(own), shared_image=len(own) - sum(own))


def _duplicate(rows: Sequence[RowFingerprint], found: Duplicate) -> dict[str, Any]:
    return {"reason": found.kind, **_pair(rows, found)}


def _pair(rows: Sequence[RowFingerprint], pair: Duplicate | LikePair) -> dict[str, Any]:
    own, other = rows[pair.row], rows[pair.of]
    return {
        **own.place(),
        "gold": own.gold,
        "other": {**other.place(), "gold": other.gold},
        "bits": pair.distance,
    }


def _match(rows: Sequence[RowFingerprint], match: Match) -> dict[str, Any]:
    other = {"file": str(match.evaluation.file), "row": match.evaluation.row}
    reason = {"reason": LEAKED} if match.asked else {}
    return {**reason, **rows[match.row].place(), "other": other}
