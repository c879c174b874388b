"""What an installation by pip holds; it is not built here."""

from pathlib import Path

from setuptools import find_packages

ROOT = Path(__file__).parents[1]


def test_every_folder_of_the_package_is_installed() -> None:
    """setuptools leaves out folders without an `__init__.py`, and an editable install hides it."""
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "care_verl").rglob("*.py")}
    found = find_packages(str(ROOT), include=["care_verl", "care_verl.*"])
    assert {".".join(folder.parts) for folder in folders} == set(found)
