"""The catalogue as a table: on the console, and in docs/recipes.md."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.table import Table

from care_verl.common import tables
from care_verl.tools.recipes.catalogue import Recipe


def markdown(recipes: list[Recipe]) -> str:
    """One table a kind."""
    return "\n".join(
        "\n".join([f"**{kind[0].upper()}{kind[1:]}**", "", *_rows(group), ""])
        for kind, group in _grouped(recipes)
    )


def console_table(recipes: list[Recipe]) -> Table:
    """All in one, with the kind in a column."""
    table = Table(title="Recipes: `+recipe=NAME`, `+recipe=[NAME,NAME,...]`", title_justify="left")
    table.add_column("kind")
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it is")
    for kind, group in _grouped(recipes):
        for number, recipe in enumerate(group):
            table.add_row("" if number else kind, recipe.name, recipe.summary)
        table.add_section()
    return table


def _rows(recipes: list[Recipe]) -> Iterator[str]:
    # A tag in a summary is text, not HTML.
    rows = ((f"`{recipe.name}`", recipe.summary.replace("<", "&lt;")) for recipe in recipes)
    return tables.markdown(("recipe", "what it is"), rows)


def _grouped(recipes: list[Recipe]) -> list[tuple[str, list[Recipe]]]:
    return [(kind, list(group)) for kind, group in groupby(recipes, key=lambda recipe: recipe.kind)]
