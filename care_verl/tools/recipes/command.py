"""The `care-verl recipes` commands."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, help="What recipes there are, and what they set.")


@app.command("list")
def list_recipes(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The tables of docs/recipes.md.")
    ] = False,
) -> None:
    """All recipes, by what they are about."""
    from care_verl.tools.recipes import listing
    from care_verl.tools.recipes.catalogue import catalogue

    recipes = catalogue()
    if markdown:
        typer.echo(listing.markdown(recipes), nl=False)
    else:
        Console().print(listing.console_table(recipes), markup=False)


@app.command()
def show(
    names: Annotated[
        str, typer.Argument(metavar="NAME[,NAME...]", help="Recipes; the last one wins.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Hydra overrides, as on verl's command line.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="The whole configuration, verl's own values included.")
    ] = False,
) -> None:
    """The composed configuration as YAML: what it sets otherwise than verl does by itself."""
    import yaml

    from care_verl.tools.recipes.catalogue import RecipeError
    from care_verl.tools.recipes.composition import compose_recipes

    try:
        composition = compose_recipes(names.split(","), overrides or [])
    except RecipeError as error:
        raise typer.BadParameter(str(error)) from error
    values = composition.values if everything else composition.difference
    typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100), nl=False)
