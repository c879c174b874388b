"""Vision-R1-cold from its two files to the one that verl's MultiTurnSFTDataset reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from care_verl.data.corpora.corpus_folder import Job, write_corpus
from care_verl.data.corpora.prompt import instruction
from care_verl.data.corpora.report import Report, versions
from care_verl.data.corpora.row_outcome import Unit
from care_verl.data.corpora.schema import SFT_SCHEMA
from care_verl.data.corpora.vision_r1_cold import ColdStartChecks, VisionR1Cold


def prepare_vision_r1_cold(
    corpus: VisionR1Cold, checks: ColdStartChecks, model: str | None, out: Path, console: Console
) -> Report:
    """Write the rows that pass the checks to `out`/train.parquet; see `write_corpus`.

    model: what the counter of `checks` was made of, for the manifest.

    Raises what `write_corpus` raises.
    """
    job = _job(corpus, checks, model, out)

    def unit(place: int, cells: Mapping[str, Any]) -> Unit:
        return corpus.unit(cells, checks)

    return write_corpus(job, corpus.load, range(corpus.total), unit, console)


def _job(corpus: VisionR1Cold, checks: ColdStartChecks, model: str | None, out: Path) -> Job:
    packages = ["ijson", "pillow", "pyarrow", "datasets"]
    if model:
        packages += ["transformers", "qwen-vl-utils"]
    return Job(
        out=out,
        name="train",
        schema=SFT_SCHEMA,
        arguments=_arguments(corpus, checks, model),
        stages={f"items of {part.file}": rows for part, rows in corpus.rows.items()},
        details=_details(checks, model),
        versions=versions(*packages),
    )


def _arguments(corpus: VisionR1Cold, checks: ColdStartChecks, model: str | None) -> dict[str, Any]:
    """All that decides what is written."""
    return {
        "corpus": "vision_r1_cold",
        "files": {part.file: (corpus.folder / part.file).stat().st_size for part in corpus.rows},
        "images": {part.name: str(root.absolute()) for part, root in corpus.roots.items()},
        "pixels": [checks.limits.min_pixels, checks.limits.max_pixels],
        "model": model,
        "max_tokens": checks.limits.max_prompt_tokens,
        "tags": [checks.tags.think, checks.tags.answer],
        "keep_mathvision": checks.keep_mathvision,
    }


def _details(checks: ColdStartChecks, model: str | None) -> dict[str, Any]:
    limits = checks.limits
    tokens = f"at most {limits.max_prompt_tokens}, images and response included, for {model}"
    return {
        "pixels of an image": f"{limits.min_pixels} to {limits.max_pixels}",
        "aspect ratio of an image": f"at most {limits.aspect_ratio}",
        "tokens of a row": tokens if model else "not checked, for no model was named",
        "instruction": instruction(checks.tags),
    }
