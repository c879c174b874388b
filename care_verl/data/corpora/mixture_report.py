"""The account of a mixture: where its rows went, beside the numbers that the paper gives."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from care_verl.data.corpora.report import markdown_list, markdown_table

LEAKED = "in an evaluation set"
REASONS = ("exact duplicate", "conflicting golds", "near duplicate", LEAKED)
# Table 4 of the paper, counted before its sources were merged.
PAPER_ROWS = {"chartqa": 7_398, "geometry3k": 2_101, "virl39k": 38_870}
_SHOWN = 20
_PAPER_NOTE = (
    "The paper's Table 4 counts rows before merging: 7,398 + 2,101 + 38,870 = 48,369. Its text "
    "says that about 49.3K are left after deduplication, more than went in: both cannot hold. "
    "The rows counted here are to be compared with Table 4."
)


_HEADS = ["source", "rows", "paper, Table 4", *REASONS, "train", "test"]


@dataclass(frozen=True)
class SourceCounts:
    """Rows of one source. dropped: by reason, in the order in which they are counted."""

    rows: int
    dropped: Mapping[str, int]
    train: int
    test: int
    paper: int | None


@dataclass(frozen=True)
class EvaluationCounts:
    """Rows of the mixture that share an image with an evaluation file, and with none before it.

    rows: rows of the file that have an image. dropped: the question is the same as well.
    shared_image: only the image is; the rows stay.
    """

    file: str
    rows: int
    dropped: int
    shared_image: int


@dataclass(frozen=True)
class MixtureReport:
    """What became of the rows; `dropped` holds one entry a dropped row and is a file of its own."""

    settings: Mapping[str, Any]
    sources: Mapping[str, SourceCounts]
    evaluation: Sequence[EvaluationCounts]
    alike_with_other_gold: Sequence[Mapping[str, Any]]
    shared_images: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]
    dropped: Sequence[Mapping[str, Any]]

    def to_json(self) -> str:
        """The report as a JSON object, without the dropped rows."""
        content = asdict(self)
        del content["dropped"]
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def lines(self) -> list[list[str]]:
        """The table's rows: one a source, in the order of the folders, and their sum."""
        counts = list(self.sources.values())
        papers = [c.paper for c in counts if c.paper is not None]
        total = SourceCounts(
            rows=sum(c.rows for c in counts),
            dropped={reason: sum(c.dropped[reason] for c in counts) for reason in REASONS},
            train=sum(c.train for c in counts),
            test=sum(c.test for c in counts),
            paper=sum(papers) if len(papers) == len(counts) else None,
        )
        return [_line(name, c) for name, c in [*self.sources.items(), ("all", total)]]

    def table(self) -> Table:
        """The account for the terminal, a column a source: terminals are narrow."""
        first, *stages = zip(_HEADS, *self.lines(), strict=True)
        table = Table(title="Mixture")
        for name in first:
            table.add_column(name, justify="left" if name == _HEADS[0] else "right")
        for stage in stages:
            table.add_row(*stage)
        return table

    def to_markdown(self) -> str:
        """The account for a reader."""
        parts = ["# Mixture", markdown_table(_HEADS, self.lines()), _PAPER_NOTE]
        parts += ["## Evaluation sets", self._evaluation_text()]
        parts += ["## Alike, with other golds", _pairs_text(self.alike_with_other_gold)]
        parts += ["## Made with", markdown_list({**self.settings, **self.versions})]
        return "\n\n".join(parts) + "\n"

    def _evaluation_text(self) -> str:
        if not self.evaluation:
            return "None was given: nothing is known about leakage. Name files with `--against`."
        heads = ["file", "rows", "dropped: image and question", "kept: image alone"]
        rows = [
            [e.file, f"{e.rows:,}", f"{e.dropped:,}", f"{e.shared_image:,}"]
            for e in self.evaluation
        ]
        return markdown_table(heads, rows)


def _line(name: str, counts: SourceCounts) -> list[str]:
    numbers = [*(counts.dropped[reason] for reason in REASONS), counts.train, counts.test]
    paper = "–" if counts.paper is None else f"{counts.paper:,}"
    return [name, f"{counts.rows:,}", paper, *(f"{number:,}" for number in numbers)]


def _pairs_text(pairs: Sequence[Mapping[str, Any]]) -> str:
    if not pairs:
        return "None: no two images look alike, are asked the same and have different golds."
    shown = [
        [_name(p), f"`{p['gold']}`", _name(p["other"]), f"`{p['other']['gold']}`", p["bits"]]
        for p in pairs[:_SHOWN]
    ]
    head = (
        f"{len(pairs):,} pairs, kept: either the images differ in a detail, or one gold is wrong. "
        f"All of them are in report.json; the first {len(shown)}:"
    )
    return f"{head}\n\n{markdown_table(['row', 'gold', 'row', 'gold', 'bits'], shown, words=4)}"


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['source']} {row['source_id']}"
