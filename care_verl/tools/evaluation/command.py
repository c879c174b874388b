"""The `care-verl evaluate` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from care_verl.tools.evaluation.choices import Backend
from care_verl.tools.evaluation.decoding import Decoding

_DECODING = Decoding()


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Checkpoints of verl (global_step_N), Hugging Face folders or hub ids.",
            show_default=False,
        ),
    ],
    benchmarks: Annotated[
        str, typer.Option(help="paper for its six, or names with commas between.")
    ] = "paper",
    backend: Annotated[Backend, typer.Option(help="Who decodes.")] = Backend.VLLM,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="A server that runs already, for openai; MODEL is its name there.",
            show_default="one is started",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for answers, results and logs.")] = Path(
        "outputs/evaluation"
    ),
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Rows of the embedded task, or a folder with one folder for each benchmark.",
            show_default="the Hugging Face hub",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Label of a MODEL, once for each; models of one label are its seeds."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="The first rows of each benchmark only.", min=1)
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = _DECODING.temperature,
    top_p: Annotated[float, typer.Option(help="Nucleus.")] = _DECODING.top_p,
    max_new_tokens: Annotated[
        int, typer.Option(help="Longest response.")
    ] = _DECODING.max_new_tokens,
    seed: Annotated[int, typer.Option(help="Seed of sampling.")] = _DECODING.seed,
    model_arg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="An argument for the backend, such as dtype=float32."
        ),
    ] = None,
    think_tag: Annotated[str, typer.Option(help="Tag of the rationale.")] = "think",
    answer_tag: Annotated[str, typer.Option(help="Tag of the answer.")] = "answer",
    instruction: Annotated[
        str | None,
        typer.Option(help="End of each prompt.", show_default="as training prompts end"),
    ] = None,
    prefilled: Annotated[
        bool | None,
        typer.Option(
            help="The chat template opens the rationale.", show_default="as the template does"
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Whose rows of the paper to show.", show_default="the model's"),
    ] = None,
) -> None:
    """Evaluate models on the paper's benchmarks, through LMMs-Eval and with the verifier."""
    from care_verl.tools.evaluation import evaluate as evaluation
    from care_verl.tools.evaluation.display import shown
    from care_verl.tools.evaluation.local_data import arranged
    from care_verl.tools.evaluation.paper import paper_rows
    from care_verl.tools.evaluation.request import Request, named, options_of, wanted
    from care_verl.tools.evaluation.results import write
    from care_verl.tools.evaluation.settings import TaskSettings
    from care_verl.tools.evaluation.table import tables

    console, out = Console(), out.resolve()
    try:
        request = Request(
            models=models,
            labels=name or named(models),
            benchmarks=wanted(benchmarks),
            out=out,
            backend=backend,
            base_url=base_url,
            decoding=Decoding(temperature, top_p, max_new_tokens, seed),
            tasks=TaskSettings(think_tag, answer_tag, instruction),
            prefilled=prefilled,
            limit=limit,
            options=options_of(model_arg or []),
        )
        paper_rows(backbone)
        if data:
            evaluation.use_data(arranged(data, out / "data"))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        with shown(console) as display:
            lines = evaluation.evaluate(request, display)
        report = evaluation.reported(request, lines, backbone)
        written = write(report, out)
    except evaluation.PROBLEMS as problem:
        console.print(f"[red]{type(problem).__name__}[/]", highlight=False)
        console.print(str(problem), highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from problem
    for table in tables(report.lines, report.gains, report.paper):
        console.print(table)
    for note in report.notes:
        console.print(f"Note: {note}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"Written: {', '.join(map(str, written))}; logs in {out / evaluation.LOGS}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
