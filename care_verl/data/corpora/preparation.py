"""A corpus from its source to the files that verl's RLHFDataset reads."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from care_verl.data.corpora.checks import Checks
from care_verl.data.corpora.corpus_folder import Job, write_corpus
from care_verl.data.corpora.limits import Limits
from care_verl.data.corpora.prompt import instruction
from care_verl.data.corpora.report import Report, versions
from care_verl.data.corpora.row_outcome import Unit
from care_verl.data.corpora.schema import RL_SCHEMA
from care_verl.data.corpora.source import Source
from care_verl.data.corpora.token_count import TokenCounter
from care_verl.grammar import TagSpec


@dataclass(frozen=True)
class Options:
    """How a corpus is prepared, whichever it is.

    model: folder or hub id of the model whose prompt tokens are counted; None skips the check.
    limit: rows drawn at random by `seed` before the checks; None takes all.
    """

    limits: Limits
    tags: TagSpec
    model: str | None = None
    limit: int | None = None
    seed: int = 0


def drawn(indices: Sequence[int], limit: int | None, seed: int) -> Sequence[int]:
    """`limit` of the indices, drawn at random by `seed`, ascending; all when there is no limit."""
    if limit is None or limit >= len(indices):
        return indices
    return sorted(random.Random(f"limit/{seed}").sample(indices, limit))


def prepare_corpus(
    source: Source, named: dict[str, str], out: Path, options: Options, console: Console
) -> Report:
    """Write the rows of `source` that pass the checks to `out`; see `write_corpus`.

    named: what the source was opened with, for the manifest.

    Raises what `write_corpus` raises.
    """
    indices = drawn(source.indices, options.limit, options.seed)
    stages = dict(source.stages)
    if options.limit is not None:
        stages["after limit"] = len(indices)
    counter = TokenCounter(options.model) if options.model else None
    checks = Checks(options.limits, options.tags, counter)

    def unit(index: int, cells: Mapping[str, Any]) -> Unit:
        return checks.unit(source.row(index, cells))

    job = _job(source, named, out, options, stages)
    return write_corpus(job, source.load, indices, unit, console)


def _job(
    source: Source, named: dict[str, str], out: Path, options: Options, stages: dict[str, int]
) -> Job:
    packages = ["pillow", "pyarrow", "datasets", "math-verify"]
    if options.model:
        packages += ["transformers", "qwen-vl-utils"]
    return Job(
        out=out,
        name=source.split,
        schema=RL_SCHEMA,
        arguments={
            "corpus": source.data_source,
            **named,
            "split": source.split,
            **asdict(options),
            "files": dict(source.files),
        },
        stages=stages,
        details=_details(source, options),
        versions=versions(*packages),
    )


def _details(source: Source, options: Options) -> dict[str, Any]:
    limits = options.limits
    tokens = f"at most {limits.max_prompt_tokens}, images included, for {options.model}"
    return {
        "pixels of an image": f"{limits.min_pixels} to {limits.max_pixels}",
        "aspect ratio of an image": f"at most {limits.aspect_ratio}",
        "tokens of a prompt": tokens if options.model else "not checked, for no model was named",
        "gold answer": "scores 1 against itself under the verifier",
        "instruction": instruction(options.tags),
        **source.details,
    }
