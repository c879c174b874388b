"""The `care-verl data` commands: each reads its options, `care_verl.data.corpora` does the work."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from care_verl.data.corpora.preparation import Options

app = typer.Typer(no_args_is_help=True, help="Prepare and check training data.")
prepare = typer.Typer(no_args_is_help=True, help="Turn a corpus into files that verl reads.")
app.add_typer(prepare, name="prepare")

SourceName = Annotated[
    str, typer.Argument(metavar="SOURCE", help="Hub id, or a local folder in the hub's layout.")
]
Out = Annotated[Path, typer.Option(help="Folder to be made.")]
Split = Annotated[str, typer.Option(help="Split, as the source names it.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="Folder or hub id of the model whose prompt tokens are counted; none without it."
    ),
]
MaxPromptTokens = Annotated[
    int, typer.Option(min=1, help="Most tokens of a prompt, images included; needs --model.")
]
MinPixels = Annotated[int, typer.Option(min=1, help="Fewest pixels of an image.")]
MaxPixels = Annotated[int, typer.Option(min=1, help="Most pixels of an image.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Rows drawn at random from the source.")]
Seed = Annotated[int, typer.Option(help="Seed of --limit.")]
ThinkTag = Annotated[str, typer.Option(help="Tag of the rationale in the instruction.")]
AnswerTag = Annotated[str, typer.Option(help="Tag of the answer in the instruction.")]

# 1,280 tokens are an image of a megapixel; the rest is room for a long question.
_MAX_PROMPT_TOKENS = 2048
# One merged patch of Qwen2.5-VL, 28 x 28 pixels.
_MIN_PIXELS = 28 * 28
# About 100 MB decoded; Qwen2.5-VL shrinks an image to a third of it in any case.
_MAX_PIXELS = 36_000_000
# The bound of the recipe sft_vision_r1_cold, where a longer row is an error.
_MAX_SFT_TOKENS = 16384


class Subset(str, Enum):
    """Who wrote ChartQA's questions."""

    human = "human"
    machine = "machine"
    all = "all"


@contextmanager
def explained() -> Iterator[None]:
    """Ends the command with the message of an error that the user can act on.

    Those are ValueError and OSError: every one that the preparation raises says what to change.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            words += ". What was done is kept: make room and run the same command again"
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        Console(stderr=True, soft_wrap=True).print(f"Error: {words}{where}", markup=False)
        raise typer.Exit(1) from error


@prepare.command()
def chartqa(
    out: Out,
    source: SourceName = "HuggingFaceM4/ChartQA",
    subset: Annotated[Subset, typer.Option(help="Who wrote the questions.")] = Subset.human,
    split: Split = "train",
    model: Model = None,
    max_prompt_tokens: MaxPromptTokens = _MAX_PROMPT_TOKENS,
    min_pixels: MinPixels = _MIN_PIXELS,
    max_pixels: MaxPixels = _MAX_PIXELS,
    limit: Limit = None,
    seed: Seed = 0,
    think_tag: ThinkTag = "think",
    answer_tag: AnswerTag = "answer",
) -> None:
    """Prepare ChartQA: by default the training rows whose questions people wrote."""
    from care_verl.data.corpora.chartqa import open_chartqa
    from care_verl.data.corpora.preparation import prepare_corpus

    with explained():
        options = _options(
            max_prompt_tokens, min_pixels, max_pixels, think_tag, answer_tag, model, limit, seed
        )
        opened = open_chartqa(source, split, subset.value)
        named = {"source": source, "subset": subset.value}
        prepare_corpus(opened, named, out, options, Console())


@prepare.command()
def geometry3k(
    out: Out,
    source: SourceName = "hiyouga/geometry3k",
    split: Split = "train",
    model: Model = None,
    max_prompt_tokens: MaxPromptTokens = _MAX_PROMPT_TOKENS,
    min_pixels: MinPixels = _MIN_PIXELS,
    max_pixels: MaxPixels = _MAX_PIXELS,
    limit: Limit = None,
    seed: Seed = 0,
    think_tag: ThinkTag = "think",
    answer_tag: AnswerTag = "answer",
) -> None:
    """Prepare Geometry3K."""
    from care_verl.data.corpora.geometry3k import open_geometry3k
    from care_verl.data.corpora.preparation import prepare_corpus

    with explained():
        options = _options(
            max_prompt_tokens, min_pixels, max_pixels, think_tag, answer_tag, model, limit, seed
        )
        prepare_corpus(open_geometry3k(source, split), {"source": source}, out, options, Console())


@prepare.command()
def virl39k(
    out: Out,
    source: SourceName = "TIGER-Lab/ViRL39K",
    model: Model = None,
    max_prompt_tokens: MaxPromptTokens = _MAX_PROMPT_TOKENS,
    min_pixels: MinPixels = _MIN_PIXELS,
    max_pixels: MaxPixels = _MAX_PIXELS,
    limit: Limit = None,
    seed: Seed = 0,
    think_tag: ThinkTag = "think",
    answer_tag: AnswerTag = "answer",
) -> None:
    """Prepare ViRL39K; its images are read from the zip file as it is."""
    from care_verl.data.corpora.preparation import prepare_corpus
    from care_verl.data.corpora.virl39k import open_virl39k

    with explained():
        options = _options(
            max_prompt_tokens, min_pixels, max_pixels, think_tag, answer_tag, model, limit, seed
        )
        prepare_corpus(open_virl39k(source), {"source": source}, out, options, Console())


def _options(
    max_prompt_tokens: int,
    min_pixels: int,
    max_pixels: int,
    think_tag: str,
    answer_tag: str,
    model: str | None,
    limit: int | None,
    seed: int,
) -> Options:
    from care_verl.data.corpora.limits import Limits
    from care_verl.data.corpora.preparation import Options
    from care_verl.grammar import TagSpec

    limits = Limits(min_pixels, max_pixels, max_prompt_tokens)
    return Options(limits, TagSpec(think_tag, answer_tag), model, limit, seed)


@prepare.command()
def mixture(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Prepared corpora; of duplicates the one named first keeps its row."),
    ],
    out: Out,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Evaluation file, parquet or JSON lines, whose rows are kept out."),
    ] = None,
    image_column: Annotated[
        str | None, typer.Option(help="Column of the images in the evaluation files.")
    ] = None,
    question_column: Annotated[
        str | None, typer.Option(help="Column of the questions in the evaluation files.")
    ] = None,
    near_distance: Annotated[
        int, typer.Option(help="Bits of 256 by which images that count as one may differ, 0 to 64.")
    ] = 32,
    holdout: Annotated[int, typer.Option(min=0, help="Rows held out, in test.parquet.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the order and of --holdout.")] = 0,
) -> None:
    """Mix prepared corpora: no duplicates, no rows of evaluation sets, shuffled."""
    from care_verl.data.corpora.leakage import EvaluationColumns
    from care_verl.data.corpora.mixture import MixtureSettings, prepare_mixture

    console = Console()
    columns = EvaluationColumns(image_column, question_column)
    with explained():
        settings = MixtureSettings(near_distance, holdout, seed)
        report = prepare_mixture(folders, out, settings, against or (), columns, console)
    console.print(report.table())
    console.print(f"Written: {out}")


@prepare.command()
def vision_r1_cold(
    folder: Annotated[Path, typer.Argument(help="Folder of the corpus's two JSON files.")],
    out: Out,
    llava_cot_images: Annotated[
        Path | None, typer.Option(help="Images of LLaVA-CoT; FOLDER/llava_cot_images without it.")
    ] = None,
    mulberry_images: Annotated[
        Path | None, typer.Option(help="Images of Mulberry; FOLDER/mulberry_images without it.")
    ] = None,
    keep_mathvision: Annotated[
        bool, typer.Option(help="Keep items on images of MATH-Vision, an evaluation set.")
    ] = False,
    model: Model = None,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Most tokens of a row, response included; needs --model.")
    ] = _MAX_SFT_TOKENS,
    min_pixels: MinPixels = _MIN_PIXELS,
    max_pixels: MaxPixels = _MAX_PIXELS,
    think_tag: ThinkTag = "think",
    answer_tag: AnswerTag = "answer",
) -> None:
    """Prepare Vision-R1-cold for the supervised cold start."""
    from care_verl.data.corpora.cold_start_preparation import prepare_vision_r1_cold
    from care_verl.data.corpora.limits import Limits
    from care_verl.data.corpora.token_count import TokenCounter
    from care_verl.data.corpora.vision_r1_cold import ColdStartChecks, open_vision_r1_cold
    from care_verl.grammar import TagSpec

    with explained():
        limits = Limits(min_pixels, max_pixels, max_tokens)
        tags = TagSpec(think_tag, answer_tag)
        corpus = open_vision_r1_cold(folder, llava_cot_images, mulberry_images)
        counter = TokenCounter(model) if model else None
        checks = ColdStartChecks(limits, tags, counter, keep_mathvision)
        prepare_vision_r1_cold(corpus, checks, model, out, Console())
