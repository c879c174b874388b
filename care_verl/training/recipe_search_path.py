"""The recipes that ship with the package, reachable as `+recipe=NAME`."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class RecipeSearchPath(SearchPathPlugin):  # type: ignore[misc]
    """Adds the package `care_verl.recipes` behind verl's own configuration."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="care-verl", path="pkg://care_verl.recipes")
